"""`processRecords` messages as columns, by the C library and, for what that is not sure of, by Python."""

from collections.abc import Callable

from consumer.domain.columns import Records
from consumer.native import library
from consumer.shard.kcl.message_text import GROUP_BYTES, OTHER, MessageText, malformed
from consumer.shard.kcl.record_memory import RecordMemory

_SMALL_BYTES = 64 * 1024
"""A line so short is not looked at before it is whole. Once one comes, the shard is quiet: memory that large messages
have filled is given back."""


EARLY_BYTES = 8 * 1024 * 1024
"""Of memory: 4,000 usual records take half of it. A KPL aggregate of very many tiny ones would take any number of times
as much, since each of them has its own key and sequence number here."""


class MessageParser:
    """What it gives out is valid until the next message with records comes: a callback reads answers to its checkpoints
    while it has not yet looked at all of its own."""

    def __init__(
        self, take_early: Callable[[Records], None] | None = None, *, early_bytes: int = EARLY_BYTES
    ) -> None:
        """`take_early` gets the first records of a message that is still coming once they take more than
        `early_bytes`, and then the next ones, so that its memory has an end however many there are. They are valid
        until it returns; `parse` gives those that are left."""
        self._take_early = take_early
        self._early_bytes = early_bytes
        loaded = library.load()
        self._parse = None if loaded is None else loaded.parse_records
        self._progress = library.MessageProgress()
        self._memory = RecordMemory()
        # beside the C library it reads one record that C is not sure of, and C goes on behind it
        group_bytes = GROUP_BYTES if loaded is None else 0
        self._text = MessageText(self._progress, self._memory, group_bytes=group_bytes)
        self._wanted = _SMALL_BYTES

    def look_ahead(self, so_far: memoryview) -> int:
        """Parse what there is of a message, behind which stands a line end that is not its own: while it is in the
        processor's cache, and while its writer goes on.

        Returns how much of it is done with: the next call, of this method or of `parse`, gets the line without that.
        Raises ProtocolError, as `parse` does.
        """
        size = len(so_far)
        if size <= self._wanted:
            return 0
        self._go_on(so_far)
        if self._take_early is not None and self._memory.held_bytes > self._early_bytes:
            self._take_early(self._memory.records())
            self._memory.clear()
        progress = self._progress
        # what is read from its beginning again is read when there is half as much again: all of it three times at most
        unread = size - progress.offset
        # before the records, it may be a message of another action, whose reader needs all of it
        done: int = progress.offset if progress.has_records else 0
        progress.offset -= done
        self._wanted = size - done + unread // 2
        return done

    def parse(self, line: memoryview) -> tuple[Records, int | None] | None:
        """The records of a message and `millisBehindLatest`; None where it is of another action. The line is what
        `look_ahead` was not done with; it has its line end, but where the input has ended.

        Raises ProtocolError.
        """
        if self._progress.stage == library.AT_BEGIN and len(line) <= _SMALL_BYTES and _has_records(line):
            self._memory.give_back(_SMALL_BYTES)
        if bytes(line[-1:]) != b"\n":
            line = memoryview(bytearray(line) + b"\n")
        progress = self._progress
        try:
            result = self._go_on(line)
            if result == library.UNFINISHED:
                raise malformed("it ends in the middle", line[progress.offset :])
            if result == OTHER:
                return None
            millis = progress.millis_behind
            return self._memory.records(), None if millis < 0 else millis
        finally:
            progress.stage = library.AT_BEGIN
            progress.offset = 0
            self._memory.clear()
            self._wanted = _SMALL_BYTES

    def _go_on(self, line: memoryview) -> int:
        self._memory.make_room(len(line) - self._progress.offset)
        while True:
            result = self._read(line)
            if result == library.MORE_RECORDS:
                self._memory.double()
            elif result != library.UNSURE:
                return result

    def _read(self, line: memoryview) -> int:
        if self._parse is None:
            return self._text.read(line)
        memory = self._memory
        result: int = self._parse(
            library.address(line), len(line), memory.capacity, memory.columns, self._progress
        )
        return self._text.read(line) if result == library.UNSURE else result


def _has_records(line: memoryview) -> bool:
    """As the KCL writes it, with the action first. Where somebody else has written it, memory is given back later."""
    return bytes(line[: len(_BEGIN)]) == _BEGIN


_BEGIN = b'{"action":"processRecords"'
