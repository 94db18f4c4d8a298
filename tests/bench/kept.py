"""Who has arrived where: what the keeping backend remembers of records, by the numbers in their payloads."""

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

_LINE_ENDS = b"\r\n"
_MOST_CHARACTERS = 300

_find_numbers = re.compile(rb'number\\?":(\d{12})').findall
_is_date = re.compile(r"\d{4}-\d\d-\d\d").match
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class Delivered(msgspec.Struct, frozen=True, array_like=True):
    """A row, or a line of an object. `number` is 0 where it has none or several.

    `digest` is that of the record's text without line ends, which may be taken out on the way; empty where the
    record's fields are columns. `shards` are the values of all members that are BigQuery's column _shard.
    """

    number: int
    digest: str = ""
    shards: tuple[str, ...] = ()


class Letter(msgspec.Struct, frozen=True):
    """A dead letter; `detail` is cut, `digest` is the payload's."""

    sequence_number: str
    sub_sequence_number: int
    reason: str
    detail: str
    detail_characters: int
    digest: str


class Kept(msgspec.Struct, frozen=True):
    """`oversized` are the sizes of requests that BigQuery would refuse whole."""

    delivered: list[Delivered]
    letters: list[Letter]
    oversized: list[int]


class Bad(Exception):
    """BigQuery would refuse the row: it is no JSON object, or its time is none."""


class _Line(msgspec.Struct):
    sequence_number: str
    sub_sequence_number: int
    reason: str
    detail: str
    payload: bytes


class Keeper:
    """Remembers records by where they came to, so that what is written twice to one place counts once there. Safe to
    call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, list[Delivered]] = {}
        self._letters: dict[str, list[Letter]] = {}
        self._oversized: list[int] = []
        self._appends = 0

    def put_object(self, key: str, content: bytes) -> None:
        """An object of lines, or of dead letters."""
        lines = content.removesuffix(b"\n").split(b"\n")
        with self._lock:
            if "/deadletter/" in key:
                self._letters[key] = [_letter(line) for line in lines]
            else:
                self._places[key] = [Delivered(_number_in(line), digest_of(line)) for line in lines]

    def insert(self, place: str, rows: Iterable[Delivered]) -> None:
        """Rows under an id of their own: an insertId, or that of a load job."""
        found = list(rows)
        with self._lock:
            self._places.setdefault(place, found)

    def append(self, batch: Any) -> None:
        """Rows of an Arrow batch, each time as new ones."""
        found = list(_rows_of(batch))
        with self._lock:
            self._appends += 1
            self._places[f"append {self._appends}"] = found

    def oversized(self, size_bytes: int) -> None:
        with self._lock:
            self._oversized.append(size_bytes)

    def kept(self) -> Kept:
        with self._lock:
            return Kept(
                [one for found in self._places.values() for one in found],
                [letter for letters in self._letters.values() for letter in letters],
                list(self._oversized),
            )


def digest_of(text: bytes) -> str:
    """Of a record's text, whatever line ends are taken out of it."""
    return blake2b(text.translate(None, _LINE_ENDS), digest_size=8).hexdigest()


def row_of(text: bytes) -> Delivered:
    """A row as JSON. Raises Bad."""
    try:
        members = _decode_members(text)
        time = _decode_text(members.get("time", b'"2000-01-01"'))
        shards = tuple(_decode_text(raw) for name, raw in members.items() if name.lower() == "_shard")
        return _row(members, shards) if _is_date(time) else _refused(f"time {time[:40]!r}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _refused(str(error))


def _refused(why: str) -> Delivered:
    raise Bad(why[:_MOST_CHARACTERS])


def _row(members: Mapping[str, msgspec.Raw], shards: tuple[str, ...]) -> Delivered:
    if "log" in members:
        raw = bytes(members["log"])
        log = _decode_text(raw).encode() if raw.startswith(b'"') else raw
        return Delivered(_number_in(log), digest_of(log), shards)
    number = bytes(members.get("number", b""))
    return Delivered(int(number) if number.isdigit() else 0, "", shards)


def _rows_of(batch: Any) -> Iterator[Delivered]:
    names = batch.schema.names
    columns = {name: batch.column(name).to_pylist() for name in ("log", "number", "_shard") if name in names}
    shards = columns.get("_shard", [None] * batch.num_rows)
    for place, shard in enumerate(shards):
        told = () if shard is None else (shard,)
        if "log" in columns:
            log = columns["log"][place].encode()
            yield Delivered(_number_in(log), digest_of(log), told)
        else:
            yield Delivered(columns["number"][place] or 0, "", told)


def _letter(line: bytes) -> Letter:
    read = msgspec.json.decode(line, type=_Line)
    return Letter(
        sequence_number=read.sequence_number,
        sub_sequence_number=read.sub_sequence_number,
        reason=read.reason,
        detail=read.detail[:_MOST_CHARACTERS],
        detail_characters=len(read.detail),
        digest=digest_of(read.payload),
    )


def _number_in(text: bytes) -> int:
    found = _find_numbers(text)
    return int(found[0]) if len(found) == 1 else 0
