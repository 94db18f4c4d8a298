"""The JVM's options where jvm.options says nothing else. `bin/setup` makes the AOT cache for these."""

OPTIONS = "-XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError"
