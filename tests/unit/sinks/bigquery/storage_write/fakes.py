"""A BigQuery and a DynamoDB that do in memory what the sink counts on, and a row maker without Arrow."""

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import Superseded
from consumer.domain.records import Record
from consumer.domain.unread_times import Unread
from consumer.settings.values import Value
from consumer.sinks.bigquery.arrow_rows.arrow import Batch, Pieces
from consumer.sinks.bigquery.arrow_rows.log_rows import Made, Rows
from consumer.sinks.bigquery.arrow_rows.rules import VERSION, Rules
from consumer.sinks.bigquery.storage_write.answers import CallFailed, RowFault, StorageCode
from consumer.sinks.bigquery.storage_write.positions import ShardState, decode_state
from consumer.sinks.bigquery.storage_write.store import Generations, Refused, Taken


def rules(*, tables: int = 2, bad: int = 0, name: str = "d", version: int = VERSION, deep: int = 0) -> Rules:
    """Record n goes to table n modulo `tables`; every `bad`-th record makes no row, every `deep`-th one is too deep."""
    settings: dict[str, Value] = {
        "bigquery.project": "p",
        "bigquery.dataset": name,
        "tables": tables,
        "bad": bad,
        "deep": deep,
    }
    return Rules(version, settings)


class NumberRows:
    """Rows that are the sequence numbers of their records."""

    schema = b"numbers"

    def __init__(self, own: Rules) -> None:
        self._tables = int(own.text("tables"))
        self._bad = int(own.text("bad"))
        self._deep = int(own.text("deep"))

    def take_unread(self) -> Unread | None:
        return None

    def make(self, records: Sequence[Record], indices: Sequence[int]) -> Made:
        tables: dict[str, Rows] = {}
        rejections: list[Rejection] = []
        for index in indices:
            number = int(records[index].sequence_number)
            if self._bad and number % self._bad == 0:
                rejections.append(Rejection(index, "bad_key", "as the rules say"))
                continue
            if self._deep and number % self._deep == 0:
                rejections.append(Rejection(index, "too_deep", "as the rules say"))
                continue
            rows = tables.setdefault(f"t{number % self._tables}", Rows(array("I"), ([],), array("I")))
            rows.indices.append(index)
            rows.cells[0].append(number)
            rows.sizes.append(10)
        return tables, rejections

    def batch(self, rows: Rows) -> Batch:
        return Pieces(msgspec.json.encode(rows.cells[0]))


@dataclass
class FakeStream:
    table: str
    rows: list[int] = field(default_factory=list)
    finalized: bool = False
    gone: bool = False


PENDING = "a stream that nobody commits: "


@dataclass
class FakeBigQuery:
    """COMMITTED streams; `troubles` meet the next appends, one each: `lost` answers after the work is done."""

    streams: dict[str, FakeStream] = field(default_factory=dict)
    refused: frozenset[int] = frozenset()
    refusal: str = "refused"
    troubles: list[CallFailed | str | None] = field(default_factory=list)
    finalize_failures: list[CallFailed] = field(default_factory=list)
    appends: list[tuple[str, int, int]] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    samples: dict[str, int] = field(default_factory=dict)
    takes_nothing: str = ""
    schema: bytes = NumberRows.schema
    numbers_in: Callable[[bytes], list[int]] = msgspec.json.Decoder(list[int]).decode

    def table(self, name: str) -> list[int]:
        return [row for stream in self.streams.values() if stream.table == name for row in stream.rows]

    def rows(self) -> list[int]:
        return [row for stream in self.streams.values() for row in stream.rows]

    def create(self, table_path: str, *, committed: bool = True) -> str:
        if not committed:
            table = table_path.rpartition("/")[2]
            self.checks.append(table)
            self.samples[table] = 0
            return f"{PENDING}{table}"
        name = f"{table_path}/streams/{len(self.streams)}"
        self.streams[name] = FakeStream(table_path.rpartition("/")[2])
        return name

    def finalize(self, streams: Sequence[str], *, seconds: float = math.inf) -> dict[str, int]:
        if self.finalize_failures:
            raise self.finalize_failures.pop(0)
        for name in streams:
            self._stream(name).finalized = True
        return {name: len(self.streams[name].rows) for name in streams}

    def append(self, stream: str, offset: int, schema: bytes, batch: Batch) -> None:
        assert schema == self.schema
        if stream.startswith(PENDING):
            table = stream.removeprefix(PENDING)
            assert offset == self.samples[table], "a stream that goes on"
            self._check()
            self.samples[table] += 1
            return
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, CallFailed):
            raise trouble
        rows = self.numbers_in(batch.serialize_after(b""))
        self.appends.append((stream, offset, len(rows)))
        self._write(self._stream(stream), offset, rows)
        if trouble == "lost":
            raise CallFailed(code="UNAVAILABLE", message="connection reset")

    def forget(self, stream: str) -> None:
        pass

    def take_idle_streams_away(self) -> None:
        """As Google does after three days without traffic; their rows stay."""
        for stream in self.streams.values():
            stream.gone = True

    def _check(self) -> None:
        if self.takes_nothing:
            raise CallFailed(
                code="INVALID_ARGUMENT", message="bad rows", rows=(RowFault(0, self.takes_nothing),)
            )

    def _write(self, stream: FakeStream, offset: int, rows: list[int]) -> None:
        if stream.finalized:
            raise CallFailed(
                code="INVALID_ARGUMENT",
                message="Stream is finalized",
                storage_code=StorageCode.STREAM_FINALIZED,
            )
        if offset < len(stream.rows):
            raise CallFailed(code="ALREADY_EXISTS", message="exists")
        if offset > len(stream.rows):
            raise CallFailed(code="OUT_OF_RANGE", message="beyond the end")
        faults = tuple(RowFault(place, self.refusal) for place, row in enumerate(rows) if row in self.refused)
        if faults:
            raise CallFailed(code="INVALID_ARGUMENT", message="bad rows", rows=faults)
        stream.rows += rows

    def _stream(self, name: str) -> FakeStream:
        if name not in self.streams or self.streams[name].gone:
            raise CallFailed(
                code="NOT_FOUND", message="no such stream", storage_code=StorageCode.STREAM_NOT_FOUND
            )
        return self.streams[name]


@dataclass
class FakeStore:
    """One shard's items; `failures` meet the next calls, one each, after the work is done."""

    generation: int = 0
    state: bytes | None = None
    streams: bytes | None = None
    streams_generation: int = 0
    rows: dict[str, list[Refused]] = field(default_factory=dict)
    failures: list[Exception | None] = field(default_factory=list)

    def take_over(self) -> Taken:
        self.generation += 1
        self._maybe_fail()
        self.streams_generation += 1
        self._maybe_fail()
        return Taken(Generations(self.generation, self.streams_generation), self.state, self.streams)

    def save_state(self, generations: Generations, state: bytes) -> None:
        if generations.state != self.generation:
            raise Superseded("another owner")
        self.state = state
        self._maybe_fail()

    def save_streams(self, generations: Generations, streams: bytes) -> None:
        if generations.streams != self.streams_generation:
            raise Superseded("another owner")
        self.streams = streams
        self._maybe_fail()

    def kept(self) -> ShardState:
        """What the next owner will find."""
        return decode_state(self.state or b"", self.streams)

    def refuse(self, rows: Sequence[Refused]) -> list[str]:
        key = f"{rows[0].era}#{rows[0].position}"
        self.rows[key] = list(rows)
        self._maybe_fail()
        return [key]

    def refused(self) -> dict[str, list[Refused]]:
        return dict(self.rows)

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.rows.pop(key, None)

    def _maybe_fail(self) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
