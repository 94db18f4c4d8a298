"""HTTP/1.1 for requests that are made thousands of times."""
