"""Makes the JVM's AOT cache: classes as the JVM keeps them, and what its compilers want to know of hot methods."""
