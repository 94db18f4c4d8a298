"""How the C library keeps the memory of records.

A shard process fills tens of megabytes with records, frees them and fills them again. By default glibc gives the end of
its heap back to the kernel as soon as 128 KiB of it are free, and each page of it costs a fault when it is needed next.
"""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html"""

_KEPT_BYTES = 64 * 1024 * 1024
_LARGE_BYTES = 1024 * 1024
"""Of a block that has memory of its own, given back as soon as it is freed, and does not cut up the heap."""


def keep_freed_memory() -> None:
    """For the rest of this process' life; does nothing where the C library is another one."""
    library = ctypes.CDLL(None)
    with suppress(AttributeError):
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back_freed_memory() -> None:
    """To the kernel, once: it takes milliseconds. Does nothing where the C library is another one."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
