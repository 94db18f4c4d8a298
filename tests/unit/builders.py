"""Records and chunks for tests."""

from collections.abc import Sequence

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.records import Record

ARRIVAL_MS = 1_700_000_000_123
"""2023-11-14T22:13:20.123Z"""


def record(
    data: bytes = b"{}", *, sequence: str = "1", sub: int = 0, arrival_ms: int = ARRIVAL_MS, key: str = "pk"
) -> Record:
    return Record(data, key, sequence, sub, arrival_ms)


def chunk_of(
    payloads: Sequence[bytes], *, first: int = 1, sub: int = 0, arrival_ms: int = ARRIVAL_MS
) -> Chunk:
    """One chunk; sequence numbers count up from `first`."""
    records = [
        record(data, sequence=str(first + index), sub=sub, arrival_ms=arrival_ms)
        for index, data in enumerate(payloads)
    ]
    return chunk_of_records(records)


def chunk_of_records(records: Sequence[Record]) -> Chunk:
    return Chunk(Records.of(records))
