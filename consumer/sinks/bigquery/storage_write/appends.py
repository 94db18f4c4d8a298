"""What is on its way to the tables: requests of one chunk, and the streams they go to."""

from collections.abc import Callable
from dataclasses import dataclass, field

from consumer.domain.records import Position
from consumer.sinks.bigquery.arrow_rows.log_rows import Rows
from consumer.sinks.bigquery.storage_write.positions import Counts, Stream


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
