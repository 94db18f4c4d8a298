"""S3: one gzip object for each chunk and partition."""
