"""The JVM's options where jvm.options says nothing else. `bin/setup` makes the AOT cache for these."""

OPTIONS = (
    "-XX:+UseSerialGC -XX:NewRatio=1 -XX:+UseTransparentHugePages -XX:+UseCompactObjectHeaders"
    " -XX:+IgnoreUnrecognizedVMOptions -XX:+ExitOnOutOfMemoryError"
)
"""An answer of Kinesis lives for as long as its records wait: half of the heap for the young ones means fewer copies of
it. Java 17 and 21 do not know compact headers, and are told to pass over them."""
