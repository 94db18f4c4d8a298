"""Hypothesis strategies for one shard's records and the ways they can arrive."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

from consumer.domain.chunks import Chunk, Chunker, ChunkLimits
from consumer.domain.columns import Records
from consumer.domain.records import Record

START_MS = 1_700_000_000_000


@st.composite
def shards(draw: st.DrawFn, *, min_size: int = 0) -> list[Record]:
    """Records in shard order: arrival times that may go backwards, aggregates that share a sequence number,
    payloads that differ."""
    steps = draw(
        st.lists(
            st.tuples(st.integers(0, 40), st.integers(-3000, 9000), st.booleans()),
            min_size=min_size,
            max_size=40,
        )
    )
    records: list[Record] = []
    sequence, sub, arrival = 7, 0, START_MS
    for number, (size, step_ms, aggregated) in enumerate(steps):
        sequence, sub = (sequence, sub + 1) if aggregated and records else (sequence + 13, 0)
        arrival += step_ms
        data = (str(number).encode() * size)[:size]
        records.append(Record(data, "pk", str(sequence), sub, arrival))
    return records


limits = st.builds(
    ChunkLimits,
    window_ms=st.integers(1, 30_000),
    max_bytes=st.integers(1, 150),
    max_records=st.integers(1, 12),
    grace_ms=st.integers(0, 5000),
)


@st.composite
def batched(draw: st.DrawFn, records: Sequence[Record]) -> list[Sequence[Record]]:
    """The records cut into consecutive batches, empty ones among them."""
    cuts = draw(st.lists(st.integers(0, len(records)), max_size=8))
    edges = [0, *sorted(cuts), len(records)]
    return [records[begin:end] for begin, end in pairwise(edges)]


def cut(records: Sequence[Record], limits: ChunkLimits) -> tuple[list[Chunk], Chunk | None]:
    """What a chunker makes of the records as one batch: its chunks, and what is left open."""
    return cut_batches([records], limits)


def cut_batches(batches: Sequence[Sequence[Record]], limits: ChunkLimits) -> tuple[list[Chunk], Chunk | None]:
    chunker = Chunker(limits)
    chunks = [chunk for batch in batches for chunk in chunker.add(Records.of(batch))]
    return chunks, chunker.seal()
