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

_LARGE_BYTES = 1024 * 1024
"""A block of this size has memory of its own, given back as soon as it is freed, and does not cut up the heap."""

_KEPT_BYTES = {True: 64 * 1024 * 1024, False: 1024 * 1024}
"""Free memory at the heap's end that a busy shard keeps, and a quiet one."""

_LOOKS = 10
_BUSY_BYTES = 8 * 1024 * 1024
_QUIET_BYTES = 4 * 1024 * 1024


class FreedMemory:
    """Kept while the shard is busy, given back to the kernel once it is quiet. Does nothing where the C library is
    not glibc."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._looks: deque[int] = deque(maxlen=_LOOKS)
        self.is_kept = False
        with suppress(AttributeError):
            self._library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        self._keep(False)

    def look(self, bytes_read: int) -> None:
        """To be called once a second or so, with the payload bytes read so far: what came since ten looks ago tells
        whether the shard is busy."""
        self._looks.append(bytes_read)
        came = bytes_read - self._looks[0]
        if not self.is_kept and came >= _BUSY_BYTES:
            self._keep(True)
        elif self.is_kept and len(self._looks) == _LOOKS and came < _QUIET_BYTES:
            self._keep(False)

    def _keep(self, is_kept: bool) -> None:
        self.is_kept = is_kept
        with suppress(AttributeError):
            self._library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES[is_kept])
            if not is_kept:
                self._library.malloc_trim(0)
