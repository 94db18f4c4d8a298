"""The supervisor: checks settings, prepares the backend, runs the JVM with the KCL, and ends it in order."""
