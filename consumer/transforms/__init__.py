"""Functions that change records on their way: how they are called, and some that are ready (docs/transforms.md)."""

VERSION = 1
"""To be raised when the code of this package makes other records, or another number of them, of the same ones: it
stands in what storage_write keeps with its counts."""
