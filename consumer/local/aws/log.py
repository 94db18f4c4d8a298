"""The records of one Kinesis shard, and how far one GetRecords call reads."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

#: What one GetRecords call returns at most.
#: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
MAX_RECORDS = 10_000
MAX_BYTES = 10 * 1024 * 1024


class Record(msgspec.Struct, frozen=True, gc=False, rename="pascal"):
    """A record in the shape GetRecords answers with; `data` is decoded once, at the put."""

    data: bytes
    partition_key: str
    sequence_number: str
    approximate_arrival_timestamp: float  # epoch seconds


class Slice(msgspec.Struct, frozen=True):
    """What one read found: records, the position after them, and how far behind the tip that is."""

    records: Sequence[Record]
    position: int
    millis_behind_latest: int
    at_end: bool


class ShardLog:
    """An append-only list of records, read by position.

    A position is a sequence number: reading goes on with the first record above it, so the number
    need not belong to a record. Sequence numbers and arrival times never fall.
    """

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._sequences: list[int] = []
        self._arrivals: list[float] = []
        self._ends: list[int] = [0]  # bytes of all records before each index

    def __len__(self) -> int:
        return len(self._records)

    def append(self, sequence: int, *, data: bytes, partition_key: str, arrived_at: float) -> None:
        """Add a record; an arrival time that runs backwards is lifted to the one before."""
        arrived_at = max(round(arrived_at, 3), self._arrivals[-1] if self._arrivals else 0.0)
        self._records.append(Record(data, partition_key, str(sequence), arrived_at))
        self._sequences.append(sequence)
        self._arrivals.append(arrived_at)
        self._ends.append(self._ends[-1] + len(data))

    def read(self, position: int, *, limit: int | None, now: float) -> Slice:
        """Read up to `limit` records and 10 MiB; a single record above that passes alone."""
        start = bisect_right(self._sequences, position)
        by_bytes = bisect_right(self._ends, self._ends[start] + MAX_BYTES) - 1
        by_count = start + min(limit or MAX_RECORDS, MAX_RECORDS)
        stop = min(max(by_bytes, start + 1), by_count, len(self._records))
        at_end = stop == len(self._records)
        behind = 0 if at_end else max(1, int((now - self._arrivals[stop]) * 1000))
        last = self._sequences[stop - 1] if stop > start else position
        return Slice(self._records[start:stop], last, behind, at_end)

    def position_at(self, timestamp: float) -> int:
        """The position from which the first record that arrived at or after `timestamp` is next."""
        index = bisect_left(self._arrivals, timestamp)
        return self._sequences[index - 1] if index else 0
