"""`processRecords` messages read in Python: what the C library is not sure of, and all where there is none.

Regular expressions take one member or one record after the other out of the line by its brackets and quotes alone, and
each is read on its own: so never more than some hundred records are objects, and what becomes of one does not depend on
how its neighbours are read.

Repeated groups are possessive: of others `re` keeps something for every turn.
"""

import json
import re
from typing import Annotated, Any

import msgspec

from consumer.domain.columns import PART_RECORDS, Columns
from consumer.domain.errors import ProtocolError
from consumer.domain.records import Record
from consumer.native import library
from consumer.shard.kcl.record_memory import RecordMemory

OTHER = -1
"""The message is of another action than RECORDS_ACTION."""

RECORDS_ACTION = "processRecords"

_DEEPEST = 512
"""Levels of brackets within a member or a record. The KCL writes one. How many the parsers take depends on how much of
the stack is in use, which must not decide about a message."""

GROUP_BYTES = 1024 * 1024
"""Of records that are read together and are objects for that long."""

_LAST_ARRIVAL_MS = 7_258_118_399_999
"""Of the year 2199: LAST_TIME_MS of the C library."""

_MOST = 2**63 - 1
"""Of Java's `long`."""

_EXCERPT_BYTES = 200

_NEXT_STAGES = {
    (library.AT_BEGIN, "{"): library.AT_MEMBER,
    (library.BEHIND_MEMBER, ","): library.AT_MEMBER,
    (library.BEHIND_RECORD, ","): library.AT_RECORD,
    (library.BEHIND_RECORD, "]"): library.BEHIND_MEMBER,
}

_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = rb'"(?:[^"\\]*+\\.)*+[^"\\]*+"'
_COMMA = re.compile(rb",[ \t\r\n]*+")
_NAME = re.compile(rb"(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+", re.DOTALL)
_TO_BRACKET_OR_COMMA = re.compile(rb'(?:[^"{}\[\],]++|' + _STRING + rb")*+", re.DOTALL)
_FLAT_RECORDS = re.compile(
    rb'(?:\{(?:[^"{}\[\]]*+"[^"]*+")*+[^"{}\[\]]*+\}[ \t\r\n]*+,[ \t\r\n]*+){1,%d}+' % PART_RECORDS
)
"""As most are, each with the comma behind it. A quote behind a backslash is taken for the end of a text, too."""


class _RecordOfMessage(Record, kw_only=True, rename="camel", gc=False):
    """One without a time is refused, since chunks are cut by it, and so is one with numbers that there cannot be."""

    sub_sequence_number: Annotated[int, msgspec.Meta(ge=0, le=_MOST)] = 0
    arrival_ms: Annotated[int, msgspec.Meta(ge=0, le=_LAST_ARRIVAL_MS)] = msgspec.field(
        name="approximateArrivalTimestamp"
    )


class _Kind:
    """Reads JSON of one type; with msgspec.Raw, of any, of which nothing is made."""

    def __init__(self, kind: Any) -> None:
        self._kind = Any if kind is msgspec.Raw else kind
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, text: bytes) -> Any:
        """Raises ProtocolError for what is no JSON or something else."""
        try:
            if not text.isascii():
                text.decode()  # msgspec passes over texts that nobody asks for
            return self._decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._read_otherwise(text)

    def _read_otherwise(self, text: bytes) -> Any:
        """Python's own parser takes more: half of a surrogate pair, for one, as Java's texts may have."""
        try:
            value = json.loads(str(text, "utf-8", "surrogatepass"), parse_int=_number)
            if isinstance(value, dict):  # msgspec takes no half of a pair in a name
                value = {name: member for name, member in value.items() if name.isascii()}
            return msgspec.convert(value, self._kind)
        except (msgspec.MsgspecError, ValueError) as error:
            raise malformed(str(error), text) from error


_record = _Kind(_RecordOfMessage)
_list = _Kind(list[_RecordOfMessage])
_millis = _Kind(Annotated[int, msgspec.Meta(ge=0, le=_MOST)] | None)
_text = _Kind(str)
_unknown = _Kind(msgspec.Raw)


class MessageText:
    """Reads on in a line at `progress`, as parse_records of the C library does, into `memory`."""

    def __init__(
        self, progress: library.MessageProgress, memory: RecordMemory, *, group_bytes: int = GROUP_BYTES
    ) -> None:
        """Records are read together as far as they fit in so many bytes: with 0 each on its own."""
        self._group_bytes = group_bytes
        self._progress = progress
        self._memory = memory

    def read(self, line: memoryview) -> int:
        """To the end of the message (PARSED), to what is not all there yet (UNFINISHED), to the action of a message
        without records (OTHER), or past some records (UNSURE: there is more to read).

        The line ends with its line end, or with one that is not its own. Raises ProtocolError.
        """
        progress = self._progress
        end = len(line) - 1
        while (place := _past_space(line, progress.offset, end)) < end:
            if progress.stage == library.AT_RECORD:
                return self._records(line, place, end)
            if progress.stage == library.AT_MEMBER:
                result = self._member(line, place, end)
            else:
                result = self._mark(line, place, end)
            if result is not None:
                return result
        return library.UNFINISHED

    def _records(self, line: memoryview, place: int, end: int) -> int:
        several = _FLAT_RECORDS.match(line, place, min(end, place + self._group_bytes))
        if several is not None and self._take_together(several[0]):
            self._move_to(library.AT_RECORD, several.end())
            return library.UNSURE
        stage = library.AT_RECORD
        stop = place + 1 if several is None else several.end()
        group = Columns.empty()
        while stage == library.AT_RECORD and place < stop:
            behind = _element_end(line, place, end)
            if behind is None:
                break
            group.append(_record.read(bytes(line[place:behind])))
            comma = _COMMA.match(line, behind, end)
            stage, place = (
                (library.BEHIND_RECORD, behind) if comma is None else (library.AT_RECORD, comma.end())
            )
        if not group:
            return library.UNFINISHED
        self._memory.add(group)
        self._move_to(stage, place)
        return library.UNSURE

    def _take_together(self, text: bytes) -> bool:
        if b"\\" in text:
            return False  # it may end within a text, and then it is no JSON
        try:
            records = _list.read(b"[%b]" % text.rstrip(b", \t\r\n"))
        except ProtocolError:
            return False  # which one it is shows when they are read one by one
        group = Columns.empty()
        for record in records:
            group.append(record)
        self._memory.add(group)
        return True

    def _member(self, line: memoryview, place: int, end: int) -> int | None:
        found = _NAME.match(line, place, end)
        begin = place if found is None else found.end()
        name = None if found is None else _text.read(found[1])
        if name == "records":
            return self._list(line, begin, end)
        behind = _element_end(line, begin, end)
        if behind is None:
            return library.UNFINISHED
        value = bytes(line[begin:behind])
        if name is None:
            raise malformed("a member without a name", value)
        if name == "action":
            if self._is_other(value):
                return OTHER
        elif name == "millisBehindLatest":
            self._once("has_millis", value)
            millis = _millis.read(value)
            self._progress.millis_behind = -1 if millis is None else millis
        else:
            _unknown.read(value)
        self._move_to(library.BEHIND_MEMBER, behind)
        return None

    def _is_other(self, value: bytes) -> bool:
        progress = self._progress
        is_other: bool = _text.read(value) != RECORDS_ACTION
        if is_other and not progress.has_action and not progress.has_records:
            return True
        self._once("has_action", value)
        if is_other:
            raise malformed("records of another action", value)
        return False

    def _list(self, line: memoryview, place: int, end: int) -> int | None:
        """To the first record, or past the list where there is none."""
        if place == end:
            return library.UNFINISHED
        if line[place] != ord("["):
            raise malformed("the records are no list", line[place:end])
        first = _past_space(line, place + 1, end)
        if first == end:
            return library.UNFINISHED
        self._once("has_records", line[place:end])
        if line[first] == ord("]"):
            self._move_to(library.BEHIND_MEMBER, first + 1)
        else:
            self._move_to(library.AT_RECORD, first)
        return None

    def _mark(self, line: memoryview, place: int, end: int) -> int | None:
        """What opens the message, or stands behind a member or a record."""
        progress, mark = self._progress, line[place]
        if progress.stage == library.AT_BEGIN:
            self._begin()
        elif progress.stage == library.BEHIND_MEMBER and mark == ord("}"):
            return self._end(line, place, end)
        stage = _NEXT_STAGES.get((progress.stage, chr(mark)))
        if stage is None:
            raise malformed("not where JSON has it", line[place:end])
        self._move_to(stage, place + 1)
        return None

    def _begin(self) -> None:
        progress = self._progress
        progress.has_action = progress.has_records = progress.has_millis = 0
        progress.millis_behind = -1

    def _end(self, line: memoryview, place: int, end: int) -> int:
        if _past_space(line, place + 1, end) != end:
            raise malformed("there is something behind it", line[place:end])
        if not self._progress.has_action or not self._progress.has_records:
            raise malformed("without an action or without records", line[place:end])
        return library.PARSED

    def _once(self, flag: str, text: bytes | memoryview) -> None:
        if getattr(self._progress, flag):
            raise malformed("a member is there twice", text)
        setattr(self._progress, flag, 1)

    def _move_to(self, stage: int, place: int) -> None:
        self._progress.stage, self._progress.offset = stage, place


def malformed(reason: str, text: bytes | memoryview) -> ProtocolError:
    """With as much of the text as a log line bears."""
    return ProtocolError(f"not a MultiLang message ({reason}): {bytes(text[:_EXCERPT_BYTES])!r}")


def _past_space(line: memoryview, place: int, end: int) -> int:
    found = _SPACE.match(line, place, end)
    assert found is not None
    return found.end()


def _element_end(line: memoryview, place: int, end: int) -> int | None:
    """Where the comma or the bracket behind a member's value or a record stands; None where the line does not reach to
    it. What is before may be anything. Raises ProtocolError for brackets within brackets past any measure."""
    begin, depth = place, 0
    while True:
        found = (_TO_BRACKET if depth else _TO_BRACKET_OR_COMMA).match(line, place, end)
        assert found is not None
        place = found.end()
        if place == end or line[place] == ord('"'):
            return None
        if line[place] in b"{[":
            depth += 1
        elif not depth:
            return place
        else:
            depth -= 1
        if depth > _DEEPEST:
            raise malformed(f"more than {_DEEPEST} brackets within one another", line[begin:end])
        place += 1


def _number(digits: str) -> int | float:
    """Of a few thousand digits Python makes no integer."""
    return int(digits) if len(digits) < 20 else float(digits)
