"""The JVM's options where jvm.options says nothing else. `bin/setup` makes the AOT cache for these."""

OPTIONS = (
    "-XX:+UseSerialGC -XX:NewRatio=1 -XX:+UseTransparentHugePages -XX:+UseCompactObjectHeaders"
    " -XX:CompileThresholdScaling=4 -XX:InlineSmallCode=4000"
    " -XX:+IgnoreUnrecognizedVMOptions -XX:+ExitOnOutOfMemoryError"
)
"""An answer of Kinesis lives for as long as its records wait: half of the heap for the young ones means fewer copies of
it. Methods are compiled after four times as many calls: the hot ones are soon, and the many that only a start needs are
not at all. Larger ones are inlined into what runs for each record. Java 17 and 21 do not know compact headers, and are
told to pass over them."""
