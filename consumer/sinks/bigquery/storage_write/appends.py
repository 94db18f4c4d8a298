"""What is on its way to the tables: requests of one chunk, the streams they go to, the shard they come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Position, Record
from consumer.sinks.bigquery.rows.reading import records_at
from consumer.sinks.bigquery.storage_write.positions import Counts, Replay, ShardState, Stream
from consumer.sinks.bigquery.storage_write.rows.log_rows import Rows
from consumer.sinks.bigquery.storage_write.store import Generations


@dataclass(slots=True)
class Progress:
    """The rows that one chunk has in the tables."""

    end: Position
    rows: Counts = field(default_factory=dict)

    def add(self, era: int, table: str, rows: int) -> None:
        tables = self.rows.setdefault(era, {})
        tables[table] = tables.get(table, 0) + rows


@dataclass(slots=True)
class Append:
    """Rows to be written next to a table; `unanswered` once they may have been, `batch_bytes` once they were sent."""

    table: str
    rows: Rows
    progress: Progress
    positions: Callable[[int], Position]
    unanswered: bool = False
    batch_bytes: int = 0

    def name(self) -> str:
        """Of these rows, as long as they stay together."""
        return f"{self.positions(self.rows.indices[0])} and {len(self.rows.indices) - 1} more"

    def of(self, rows: Rows) -> "Append":
        return Append(self.table, rows, self.progress, self.positions)


@dataclass(slots=True)
class Lane:
    """A table as this process writes to it: `count` rows of the present era are there.

    `created` is a stream that is not used before it is kept, `sending` tells that a request is on its way, `used_at` is
    when the last one began, in seconds that only grow.
    """

    count: int
    stream: Stream | None = None
    created: str | None = None
    sending: bool = False
    used_at: float = 0.0


class OwnShard:
    """What a process knows of its shard from the moment it has taken it over."""

    def __init__(self, generations: Generations, state: ShardState, start: Position | None) -> None:
        self.generations = generations
        self.state = state
        self.replay = Replay(state, start)
        self.lanes = {table: Lane(total) for table, total in state.present.totals.items()}
        self.may_write = True
        """It is kept that rows past the mark may be in the tables (ShardState.settled), and where counting began."""
        self.refused: dict[tuple[int, Position], str] = {}
        self.refused_keys: dict[str, Position] = {}

    def without_refused(self, era: int, records: Sequence[Record], indices: Sequence[int]) -> Sequence[int]:
        """The records whose rows of that era the server has not refused before."""
        if not self.refused:
            return indices
        chosen = zip(indices, records_at(records, indices), strict=True)
        return [index for index, record in chosen if (era, record.position) not in self.refused]

    def rejected_before(self, era: int, records: Sequence[Record], indices: Sequence[int]) -> list[Rejection]:
        """Those whose rows it has."""
        if not self.refused:
            return []
        chosen = zip(indices, records_at(records, indices), strict=True)
        details = [(index, self.refused.get((era, record.position))) for index, record in chosen]
        return [Rejection(index, "rejected", detail) for index, detail in details if detail is not None]
