"""`bin/replay`: a range of time of the stream, delivered once more by the real KCL."""
