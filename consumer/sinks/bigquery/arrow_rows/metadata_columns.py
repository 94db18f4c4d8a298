"""The columns that tell where a row comes from, made of what is known of its record beside the payload."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from consumer.domain.columns import Records
from consumer.settings.columns import METADATA_TYPES
from consumer.settings.schema import METADATA_COLUMNS, Column
from consumer.sinks.bigquery.arrow_rows.arrow import cells_bytes, padded

MOST_JSON_BYTES = 2000
"""More than they add to a row of JSON, whose size decides whether BigQuery takes it: a row that is so much smaller than
the largest is sure to have room for them."""

_COLUMNS = tuple(Column(name, kind) for name, kind in zip(METADATA_COLUMNS, METADATA_TYPES, strict=True))
_LONGEST_POSITION = 80
_MICROS = 1000


@dataclass(frozen=True, slots=True)
class MetadataBuffers:
    """What a batch has behind the buffers of its other columns: nothing where there are no such columns."""

    sizes: Sequence[int] = ()
    nulls: Sequence[int] = ()
    body: bytes = b""

    @classmethod
    def of(cls, shard: bytes, positions: Sequence[str], arrivals_ms: Iterable[int]) -> "MetadataBuffers":
        """Of some rows, by the positions and arrivals of their records. None is null."""
        rows = len(positions)
        shards = array("i", range(0, (rows + 1) * len(shard), len(shard)))
        ends = array("i", accumulate(map(len, positions), initial=0))
        micros = array("q", [arrival_ms * _MICROS for arrival_ms in arrivals_ms])
        # validity, offsets and text of two columns; validity and values of one
        buffers = [
            *(b"", shards.tobytes(), shard * rows),
            *(b"", ends.tobytes(), "".join(positions).encode()),
            *(b"", micros.tobytes()),
        ]
        body = b"".join([piece for buffer in buffers for piece in padded([buffer])])
        return cls(list(map(len, buffers)), [0] * len(_COLUMNS), body)


@dataclass(frozen=True, slots=True)
class MetadataColumns:
    """Of the rows of a chunk's records."""

    shard: bytes
    records: Records

    def buffers(self, indices: Sequence[int]) -> MetadataBuffers:
        """Of the rows of the records at these indices."""
        arrivals = self.records.arrivals()
        positions = [str(self.records.position(index)) for index in indices]
        return MetadataBuffers.of(self.shard, positions, [arrivals[index] for index in indices])


def row_bytes(shard: str) -> int:
    """What they take in a row, at most."""
    return cells_bytes(_COLUMNS) + len(shard) + _LONGEST_POSITION
