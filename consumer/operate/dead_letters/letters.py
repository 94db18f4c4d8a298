"""Dead letters as an operator meets them: read from their objects, told apart, chosen."""

import datetime
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
from isal import isal_zlib

from consumer.domain.dead_letters import DeadLetter, detail_of
from consumer.domain.records import Position, Record
from consumer.domain.routing import epoch_ms
from consumer.sinks.json.lines import GZIP_WINDOW_BITS

_PIECE_BYTES = 1 << 18


class Unreadable(Exception):
    """An object that holds no dead letters."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a redrive could not deliver it; `at` in RFC 3339."""

    at: str
    reason: str
    detail: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "detail", detail_of(self.detail))


class Letter(DeadLetter, frozen=True, omit_defaults=True):
    """A dead letter, with what redrives have made of it."""

    refusals: tuple[Refusal, ...] = ()
    """By redrives, the oldest first."""
    piece: str = ""
    """Which of the payloads it is that a transform has made of one, where others of them were delivered: `2`, or `2.1`
    where a transform has made some of that."""

    @property
    def position(self) -> Position:
        return Position(self.sequence_number, self.sub_sequence_number)

    @property
    def identity(self) -> str:
        """Within its stream: the same for as long as the record is."""
        piece = f"#{self.piece}" if self.piece else ""
        return f"{self.shard}/{self.position}{piece}"

    @property
    def current_reason(self) -> str:
        """What has to be mended."""
        return self.refusals[-1].reason if self.refusals else self.reason

    @property
    def current_detail(self) -> str:
        return self.refusals[-1].detail if self.refusals else self.detail

    @property
    def arrival_ms(self) -> int:
        """Raises ValueError where the text is no time."""
        return epoch_ms(datetime.datetime.fromisoformat(self.arrived_at))

    def record(self, payload: bytes) -> Record:
        """The record as it came, but for the payload."""
        return Record(
            payload, self.partition_key, self.sequence_number, self.sub_sequence_number, self.arrival_ms
        )

    def refused(self, refusal: Refusal) -> "Letter":
        """The same refusal again takes the place of the last one."""
        before = self.refusals
        if before and (before[-1].reason, before[-1].detail) == (refusal.reason, refusal.detail):
            before = before[:-1]
        return msgspec.structs.replace(self, refusals=(*before, refusal))


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Letter).decode


def letters_of(body: bytes) -> Iterator[Letter]:
    """Of one object, in order; never all of it as plain text. Raises Unreadable."""
    for line in lines_of(body):
        try:
            letter = _decode(line)
            letter.arrival_ms  # noqa: B018 - raises where it is no time
        except (msgspec.MsgspecError, ValueError) as error:
            raise Unreadable(str(error)) from error
        yield letter


def body_of(letters: Iterable[Letter]) -> bytes:
    """An object: gzip NDJSON, the same bytes for the same letters."""
    return packed(map(_encode, letters))


def packed(lines: Iterable[bytes]) -> bytes:
    compressor = isal_zlib.compressobj(2, isal_zlib.DEFLATED, GZIP_WINDOW_BITS)
    body = bytearray()
    for line in lines:
        body += compressor.compress(line)
        body += compressor.compress(b"\n")
    return bytes(body + compressor.flush())


def lines_of(body: bytes) -> Iterator[bytes]:
    """Lines of a gzip object. Raises Unreadable."""
    decompressor = zlib.decompressobj(GZIP_WINDOW_BITS)
    rest = b""
    try:
        for begin in range(0, len(body), _PIECE_BYTES):
            *lines, rest = (rest + decompressor.decompress(body[begin : begin + _PIECE_BYTES])).split(b"\n")
            yield from lines
    except zlib.error as error:
        raise Unreadable(str(error)) from error
    if not decompressor.eof or rest:
        raise Unreadable("its end is missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters are meant; empty sets and None mean any. Times are those of the records' arrival, in
    milliseconds, `until_ms` not among them."""

    reasons: frozenset[str] = frozenset()
    shards: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        if self.reasons and letter.current_reason not in self.reasons:
            return False
        if self.shards and letter.shard not in self.shards:
            return False
        if self.keys and letter.partition_key not in self.keys:
            return False
        arrived = letter.arrival_ms
        return (self.since_ms is None or arrived >= self.since_ms) and (
            self.until_ms is None or arrived < self.until_ms
        )

    def may_hold(self, day: str) -> bool:
        """Whether an object of a day (YYYY-MM-DD, of its chunk's first record) may hold such letters. Chunks last an
        hour at most, and arrival times are not in order: a day more on each side."""
        since = None if self.since_ms is None else _day(self.since_ms - _DAY_MS)
        until = None if self.until_ms is None else _day(self.until_ms + _DAY_MS)
        return (since is None or day >= since) and (until is None or day <= until)


_DAY_MS = 86_400_000


def _day(time_ms: int) -> str:
    epoch = datetime.date(1970, 1, 1)
    return (epoch + datetime.timedelta(days=time_ms // _DAY_MS)).isoformat()
