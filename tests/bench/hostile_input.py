"""Hostile records between good ones, as the KCL hands them over, and what was given."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.bench.kept import digest_of
from tests.hostile.kinds import Kind
from tests.hostile.payloads import Mark, good

FIRST_NUMBER = 10**11
FLOOD = "half a million records"
"""A kind of message: what a KPL aggregate of tiny records becomes."""

_KEY_BYTES = 32
_FLOOD_RECORDS = 500_000
_FLOOD_PIECE = 10_000
_MESSAGE_BYTES = 4_000_000
_FIRST_ARRIVAL_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Given:
    """A record: `kind` is None where it is a good one, `digest` that of its text without line ends. Its size is that
    which Kinesis counts: payload and partition key."""

    kind: Kind | None
    digest: str
    size_bytes: int


class HostileInput:
    """Messages made one after the other, since thirty payloads of 10 MiB are more than memory should hold; `given`
    grows as they are made, in order of the records' numbers from FIRST_NUMBER on."""

    def __init__(self) -> None:
        self.given: list[Given] = []

    def messages(self, kinds: Sequence[Kind], size_bytes: int, each: int) -> Iterator[bytes]:
        """`each` records of every kind, a good one before each and after them all."""
        for kind in kinds:
            records: list[bytes] = []
            for _ in range(each):
                records += [self._good(), self._hostile(kind, size_bytes)]
                if sum(map(len, records)) > _MESSAGE_BYTES:
                    yield message(records)
                    records = []
            yield message([*records, self._good()])

    def flood(self, records: int = _FLOOD_RECORDS) -> Iterator[bytes]:
        """One message of tiny records with one sequence number, between two good ones."""
        yield message([self._good()])
        first = len(self.given)
        pieces = [
            ",".join(self._tiny(first, first + begin + place) for place in range(_FLOOD_PIECE))
            for begin in range(0, records, _FLOOD_PIECE)
        ]
        yield message([piece.encode() for piece in pieces])
        yield message([self._good()])

    def record_bytes(self) -> int:
        return sum(given.size_bytes for given in self.given)

    def _good(self) -> bytes:
        return self._record(None, good(self._mark()))

    def _hostile(self, kind: Kind, size_bytes: int) -> bytes:
        return self._record(kind, kind.build(self._mark(), size_bytes))

    def _mark(self) -> Mark:
        return Mark.number(FIRST_NUMBER + len(self.given))

    def _record(self, kind: Kind | None, payload: bytes) -> bytes:
        place = len(self.given)
        self.given.append(Given(kind, digest_of(payload), _KEY_BYTES + len(payload)))
        return record(payload, place=place, sub=0, arrival_ms=_FIRST_ARRIVAL_MS + place)

    def _tiny(self, first: int, place: int) -> str:
        payload = b'{"player_id":"a","number":%d}' % (FIRST_NUMBER + place)
        self.given.append(Given(None, digest_of(payload), _KEY_BYTES + len(payload)))
        arrival_ms = _FIRST_ARRIVAL_MS + first
        return record(payload, place=first, sub=place - first, arrival_ms=arrival_ms).decode()


def place_of(sequence_number: str, sub_sequence_number: int) -> int:
    """Of a record among those given."""
    return int(sequence_number.removeprefix("49")) + sub_sequence_number


def record(payload: bytes, *, place: int, sub: int, arrival_ms: int) -> bytes:
    return (
        b'{"action":"record","data":"%b","partitionKey":"%032x","sequenceNumber":"49%048d","subSequenceNumber":%d,'
        b'"approximateArrivalTimestamp":%d}' % (base64.b64encode(payload), place, place, sub, arrival_ms)
    )


def message(records: Iterable[bytes]) -> bytes:
    return b'{"action":"processRecords","millisBehindLatest":100000,"records":[%b]}\n' % b",".join(records)
