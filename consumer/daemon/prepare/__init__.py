"""What has to be there before the JVM starts: stream, buckets, tables."""
