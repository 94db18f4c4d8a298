"""The members of a record that decide where it goes: its key and its time, read as they are spelled.

No value is built that nobody needs: what is neither a text nor a number stays a span of the payload. A record that has
one of the two members twice is refused, since readers differ about which of them counts: most take the last one,
BigQuery's JSON columns keep the first.

`find_fields` is the rule; the C library has the same in `fields.c`.
"""

import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.native import library
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.members import is_named, kind_of, members, text_of
from consumer.sinks.json.rule import REASONS, Fault, Limits

type Key = str | msgspec.Raw | None
"""A text; None for null and where there is no such member; anything else as it is spelled."""

type Time = Key | int | float
"""As a key, with numbers read."""

_LONGEST_NUMBER = 400
"""A number of more characters is no time and no key that anybody means."""


class Found(NamedTuple):
    """Where in a payload the two values are: offsets, and sizes that are 0 where there is none. `verdict` is 0, the
    number of a fault as rule.py has them, or one of the two below; `offset` is that of what is at fault."""

    verdict: int
    offset: int = 0
    key_begin: int = 0
    key_size: int = 0
    time_begin: int = 0
    time_size: int = 0


_JOINED_BYTES = 1024 * 1024
_USUAL_BYTES = 200
"""Of a key and a time, as they are spelled."""

NOT_AN_OBJECT, REPEATED_FIELD = 6, 7
_FOUND = struct.Struct("6I")


class Fields(msgspec.Struct, gc=False):
    """What one record says."""

    key: Key
    time: Time

    @property
    def route_key(self) -> Key:
        """What chooses the table."""
        return self.key

    @property
    def route_time(self) -> Time:
        """What chooses the partition."""
        return self.time


class RoutedFields(Fields):
    """What an output of a transform says, while the record as it was read decides where it goes."""

    read: Fields

    @property
    def route_key(self) -> Key:
        return self.read.key

    @property
    def route_time(self) -> Time:
        return self.read.time


class FieldReader:
    """Judges records, and reads their key and time."""

    def __init__(self, *, key_field: str | None, time_field: str, limits: Limits) -> None:
        """`key_field` None reads no key."""
        self._key_field = key_field
        self.time_field = time_field
        self._judge = Judge(limits)
        self._decode_texts = _texts_decoder(key_field, time_field)
        native = library.load()
        self._read_fields: Any = None if native is None else native.read_fields
        self._texts = library.Texts()
        # a byte that no name holds
        key_name = b"\xff" if key_field is None else key_field.encode()
        self._rules = library.RowRules(
            key_name=self._texts.span(key_name), time_name=self._texts.span(time_field.encode())
        )

    def read(self, payloads: Sequence[bytes]) -> tuple[list[Any], list[Rejection]]:
        """Fields of each payload, None for each rejected one."""
        found = self._find(payloads)
        if self._decode_texts is not None and self._are_usual(found):
            try:
                # in one go, as most are: two texts, and nothing wrong with any record
                return list(map(self._decode_texts, payloads)), []
            except msgspec.MsgspecError:
                pass
        return self._read(payloads, found)

    def spans(self, payloads: Sequence[bytes]) -> Iterator[Found]:
        """Where each payload has the two values."""
        return map(Found._make, _FOUND.iter_unpack(memoryview(self._find(payloads)).cast("B")))

    def _read(
        self, payloads: Sequence[bytes], found: "array[int]"
    ) -> tuple[list[Fields | None], list[Rejection]]:
        fields: list[Fields | None] = []
        rejections: list[Rejection] = []
        rows = _FOUND.iter_unpack(memoryview(found).cast("B"))
        for index, (payload, each) in enumerate(zip(payloads, rows, strict=True)):
            verdict, offset, key_begin, key_size, time_begin, time_size = each
            if verdict:
                fields.append(None)
                rejections.append(self._rejection(index, payload, verdict, offset))
                continue
            key = _key(payload, key_begin, key_size) if key_size else None
            time = _time(payload, time_begin, time_size) if time_size else None
            fields.append(Fields(key, time))
        return fields, rejections

    def _are_usual(self, found: "array[int]") -> bool:
        """Whether nothing is wrong with any record, and no key and no time is large."""
        verdicts, key_sizes, time_sizes = found[0::6], found[3::6], found[5::6]
        return bool(found) and not any(verdicts) and max(key_sizes) + max(time_sizes) <= _USUAL_BYTES

    def _find(self, payloads: Sequence[bytes]) -> "array[int]":
        """A Found for each payload, number by number."""
        if self._read_fields is None:
            judge = self._judge
            places = [find_fields(each, self._key_field, self.time_field, judge) for each in payloads]
            return array("I", chain.from_iterable(places))
        if sum(map(len, payloads)) <= _JOINED_BYTES:
            return self._found(b"\n".join([*payloads, b""]), array("I", map(len, payloads)))
        # what is large is looked at where it is: Python's bytes end with a zero, which ends a scan as well
        found = array("I")
        for one in payloads:
            found += self._found(one, array("I", [len(one)]))
        return found

    def _found(self, text: bytes, sizes: "array[int]") -> "array[int]":
        found = array("I", bytes(_FOUND.size * len(sizes)))
        if sizes:
            self._read_fields(
                self._rules,
                *self._judge.for_c(),
                library.address_of_bytes(text),
                len(text) + 1,
                library.address(sizes),
                len(sizes),
                library.address(found),
            )
        return found

    def _rejection(self, index: int, payload: bytes, verdict: int, offset: int) -> Rejection:
        if verdict == NOT_AN_OBJECT:
            return Rejection(index, "not_an_object", f"a JSON {kind_of(payload)}, not an object")
        if verdict == REPEATED_FIELD:
            names = self.time_field if self._key_field is None else f"{self._key_field} or {self.time_field}"
            return Rejection(index, "repeated_field", f"{names} is there a second time at byte {offset}")
        detail = Fault(REASONS[verdict - 1], offset).detail(payload, self._judge.limits)
        return Rejection(index, REASONS[verdict - 1], detail)


def _texts_decoder(key_field: str | None, time_field: str) -> Callable[[bytes], Any] | None:
    """From payloads to objects like Fields, where both fields are texts or missing; None where a name has characters
    that are unusual in one, or where both are one."""
    if key_field is None or not (key_field.isidentifier() and time_field.isidentifier()):
        return None
    if key_field == time_field:
        return None
    names = {"key": key_field, "time": time_field}
    shape = msgspec.defstruct(
        "Texts",
        [("key", str | None, None), ("time", str | None, None)],
        rename=names,
        gc=False,
        namespace={"route_key": Fields.route_key, "route_time": Fields.route_time},
    )
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode
    return decode


def find_fields(payload: bytes, key_field: str | None, time_field: str, judge: Judge) -> Found:
    """Where a payload has the two members. A name that is both is the key's."""
    fault = judge.fault(payload)
    if fault is not None:
        return Found(1 + REASONS.index(fault.reason), fault.offset)
    if kind_of(payload) != "object":
        return Found(NOT_AN_OBJECT)
    names = [(name, name.encode()) for name in (key_field, time_field) if name is not None]
    places: dict[str, tuple[int, int]] = {}
    for member in members(payload):
        for name, encoded in names:
            if is_named(member, name, encoded):
                if name in places:
                    return Found(REPEATED_FIELD, member.begin)
                places[name] = member.value, member.end - member.value
                break
    key = (0, 0) if key_field is None else places.pop(key_field, (0, 0))
    return Found(0, 0, *key, *places.get(time_field, (0, 0)))


def _key(payload: bytes, begin: int, size: int) -> Key:
    first = payload[begin]
    if first == _QUOTE:
        end = begin + size
        if payload.find(b"\\", begin, end) < 0:
            return payload[begin + 1 : end - 1].decode()
        return text_of(memoryview(payload)[begin:end])
    if first == _NULL:
        return None
    return msgspec.Raw(memoryview(payload)[begin : begin + size])


def _time(payload: bytes, begin: int, size: int) -> Time:
    first = payload[begin]
    if (first == _MINUS or _ZERO <= first <= _NINE) and size <= _LONGEST_NUMBER:
        number = payload[begin : begin + size]
        return int(number) if number.lstrip(b"-").isdigit() else float(number)
    return _key(payload, begin, size)


_QUOTE, _NULL, _MINUS, _ZERO, _NINE = b'"n-09'
