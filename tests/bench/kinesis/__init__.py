"""Kinesis' read API with nothing behind it: answers made once, sent over HTTP/2 as the KCL asks for them."""
