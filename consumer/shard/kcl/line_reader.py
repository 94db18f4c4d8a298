"""Lines from a pipe into memory that is used again for each of them.

Messages of the KCL have megabytes. Read into memory of their own they would cost a copy to join the pieces, and a page
fault for every 4 KiB of it, each time. However long a line is, no more of it stands here than its reader still needs.
"""

import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Callable

import gevent
from gevent import get_hub

_BUFFER_BYTES = 16 * 1024 * 1024
"""Room for usual messages, were they to stand here whole. Memory is taken only as it is filled."""

_SHORT_BYTES = 64 * 1024
"""A line so short comes when the shard is quiet, or once in a checkpoint interval: what long ones have filled is given
back then."""

_LINE_END = ord("\n")
_READ_BYTES = 1024 * 1024
_PIPE_BYTES = 1024 * 1024
_MOVE_SHARE = 8
"""What is unread moves to the buffer's beginning when so many times as much before it is done with: so the same memory,
which is in the processor's cache, serves for one piece of a line after the other."""

_LITTLE_BYTES = 64 * 1024
_FILL_SECONDS = 0.001
"""The JVM writes 8 KiB at a time; to wake up for each of these costs more than to read it. In the meantime the pipe
takes what comes."""


class LineReader:
    """Lines from a descriptor; a blocked read suspends this greenlet only."""

    def __init__(self, descriptor: int, *, now: Callable[[], float] = time.time) -> None:
        self._descriptor = descriptor
        self._now = now
        self._buffer = _private_memory(_BUFFER_BYTES)
        self._begin = self._end = 0  # of what was read and not yet given out
        self._filled = 0
        self._came = 0  # since all that had come was given out
        self._comes_slowly = False
        self.waiting_since: float | None = None
        self._watcher = get_hub().loop.io(descriptor, 1)
        os.set_blocking(descriptor, False)
        _widen_pipe(descriptor)

    def read_line(self, look_ahead: Callable[[memoryview], int] | None = None) -> memoryview:
        """The next line with its line end, or what is left before the end of input; empty at the end.

        It is valid until the next call. `waiting_since` (wall clock, seconds) is not None while a call waits for
        something to come. Of a line that comes in pieces, `look_ahead` is shown what is there after each, and a line
        end that is not its own. It returns how many bytes of that it is done with: neither it nor the line shows them
        again. It may block as long as it likes.
        """
        self.waiting_since = self._now()
        try:
            return self._read_line(look_ahead)
        finally:
            self.waiting_since = None

    def _read_line(self, look_ahead: Callable[[memoryview], int] | None) -> memoryview:
        self._forget_what_was_given()
        looked_at = 0
        while (line_end := self._buffer.find(b"\n", self._begin + looked_at, self._end)) < 0:
            if self._begin < self._end and look_ahead is not None:
                self._buffer[self._end] = _LINE_END
                self.waiting_since = None
                self._begin += look_ahead(memoryview(self._buffer)[self._begin : self._end + 1])
                self.waiting_since = self._now()
            looked_at = self._end - self._begin
            if not self._read_more():
                return self._give(self._end)
        return self._give(line_end + 1)

    def _give(self, end: int) -> memoryview:
        line = memoryview(self._buffer)[self._begin : end]
        self._begin = end
        return line

    def _forget_what_was_given(self) -> None:
        if self._begin < self._end:
            return
        if self._came <= _SHORT_BYTES < self._filled:
            # the line that was given out last may still be held: its memory has to go all the same
            self._buffer.madvise(mmap.MADV_DONTNEED)
            self._filled = 0
            if len(self._buffer) > _BUFFER_BYTES:
                self._buffer = _private_memory(_BUFFER_BYTES)
        self._begin = self._end = self._came = 0

    def _read_more(self) -> int:
        """The number of bytes that came; 0 at the end of input."""
        self._make_room()
        room = memoryview(self._buffer)[self._end : min(self._end + _READ_BYTES, self._room())]
        while True:
            try:
                count = os.readv(self._descriptor, [room])
            except BlockingIOError:
                self._wait()
            else:
                self._end += count
                self._came += count
                self._filled = max(self._filled, self._end)
                self._comes_slowly = count < _LITTLE_BYTES
                return count

    def _wait(self) -> None:
        get_hub().wait(self._watcher)
        if self._comes_slowly and self._came:
            gevent.sleep(_FILL_SECONDS)

    def _room(self) -> int:
        """Behind it there is place for a line end."""
        return len(self._buffer) - 1

    def _make_room(self) -> None:
        """What is moved is less than what came since it was moved last, however long the line is."""
        unread = self._end - self._begin
        if self._begin >= max(_READ_BYTES, _MOVE_SHARE * unread):
            self._buffer.move(0, self._begin, unread)
        elif self._end < self._room():
            return
        elif unread <= self._room() // 2:
            self._buffer.move(0, self._begin, unread)
        else:
            before, self._buffer = self._buffer, _private_memory(2 * len(self._buffer))
            self._buffer[:unread] = memoryview(before)[self._begin : self._end]
        self._begin, self._end = 0, unread


def _private_memory(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _widen_pipe(descriptor: int) -> None:
    # not a pipe, or the user's limit for pipes is reached: it works, only slower
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
