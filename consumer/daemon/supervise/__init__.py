"""Keeps the JVM and the fork server running, and ends them in order."""
