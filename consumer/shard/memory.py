"""How the C library keeps the memory of records.

A shard process fills tens of megabytes with records, frees them and fills them again. By default glibc gives the end of
its heap back to the kernel as soon as 128 KiB of it are free, and each page of it costs a fault when it is needed next.
"""

import ctypes
from collections import deque
from contextlib import suppress

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html"""

_KEPT_BYTES = 64 * 1024 * 1024
_LARGE_BYTES = 1024 * 1024
"""Of a block that has memory of its own, given back as soon as it is freed, and does not cut up the heap."""

_QUIET_LOOKS = 10
_QUIET_BYTES = 1024 * 1024
_BUSY_BYTES = 8 * 1024 * 1024


def keep_freed_memory() -> None:
    """For the rest of this process' life; does nothing where the C library is another one."""
    library = ctypes.CDLL(None)
    with suppress(AttributeError):
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


class Quiet:
    """Tells when a shard that was busy has become quiet, so that others may have what it no longer needs."""

    def __init__(self) -> None:
        self._looks: deque[int] = deque(maxlen=_QUIET_LOOKS)
        self._told_at = 0

    def has_come(self, bytes_read: int) -> bool:
        """To be asked at regular times, with the payload bytes read so far. True once for each busy time."""
        self._looks.append(bytes_read)
        is_quiet = len(self._looks) == _QUIET_LOOKS and bytes_read - self._looks[0] < _QUIET_BYTES
        if not is_quiet or bytes_read - self._told_at < _BUSY_BYTES:
            return False
        self._told_at = bytes_read
        return True


def give_back_freed_memory() -> None:
    """To the kernel, once; it takes milliseconds. Does nothing where the C library is another one."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
