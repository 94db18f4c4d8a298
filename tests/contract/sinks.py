"""Every sink with the settings that decide how it works, on a backend in memory."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from unittest.mock import patch

import msgspec
import pytest

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection, ShareGuard, ShareLimit
from consumer.domain.errors import DeliveryError, RequestRefused
from consumer.domain.records import Position, Record
from consumer.native import library
from consumer.settings.schema import Column
from consumer.sinks.base import Outcome, Prepared, Sink
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.insert_all.dry_run import DryRun
from consumer.sinks.bigquery.insert_all.requests import RequestLimits
from consumer.sinks.bigquery.insert_all.sink import BigQuerySink
from consumer.sinks.bigquery.load.jobs import LoadJobs
from consumer.sinks.bigquery.load.requests import Destination
from consumer.sinks.bigquery.load.sink import LoadSink
from consumer.sinks.bigquery.rows.build import row_encoder
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL, LINES, Wrapping
from consumer.sinks.bigquery.storage_write.sink import StorageWriteSink
from consumer.sinks.bigquery.table_check import sample_record
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import BIGQUERY, Limits
from consumer.sinks.s3.parquet import Parquet
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.sink import ObjectFormat, S3Sink
from consumer.transforms.contract import Transform
from consumer.transforms.sink import Step, TransformingSink
from tests.contract.backends import Backend, Bucket, Inserts, Jobs, Streams
from tests.unit.sinks.bigquery.storage_write.builders import field_rules
from tests.unit.sinks.bigquery.storage_write.fakes import FakeStore
from tests.unit.sinks.formats import ndjson

STREAM, SHARD = "stream", "shardId-000000000003"
_MAX_REQUEST_BYTES = 9_000_000

KEY_COLUMN = Column("player_id", "STRING")
TIME_COLUMN = Column("time", "TIMESTAMP", "REQUIRED")
LOG_COLUMNS = (KEY_COLUMN, TIME_COLUMN, Column("log", "JSON"))
FIELD_COLUMNS = (
    KEY_COLUMN,
    TIME_COLUMN,
    Column("score", "INTEGER"),
    Column("ratio", "FLOAT"),
    Column("name", "STRING"),
    Column("won", "BOOLEAN"),
    Column("born", "DATE"),
    Column("seen", "TIMESTAMP"),
    Column("price", "NUMERIC"),
)
JSON_COLUMN = Column("note", "JSON")
TAGS_COLUMN = Column("tags", "STRING", "REPEATED")
METADATA_COLUMNS = (
    Column("_shard", "STRING"),
    Column("_sequence_number", "STRING"),
    Column("_arrived_at", "TIMESTAMP"),
)


@dataclass(frozen=True)
class Options:
    """Settings that decide about single records."""

    key_digits: int = 1
    time_format: str = "iso8601"
    unknown_fields: str = "ignore"
    validate_json: bool = True


USUAL = Options()


@dataclass(frozen=True)
class Kind:
    """A method and its rows; `columns` are the table's, none for lines in S3, of which `row` is the compression."""

    method: str
    row: str = ""
    columns: tuple[Column, ...] = ()
    native: bool = True

    @property
    def name(self) -> str:
        beside = [
            column.name
            for column in (JSON_COLUMN, TAGS_COLUMN, METADATA_COLUMNS[0])
            if column in self.columns
        ]
        return " ".join(filter(None, [self.method, self.row, *beside, "C" if self.native else "Python"]))

    @property
    def is_bigquery(self) -> bool:
        return self.method not in ("s3", "parquet")

    @property
    def has_metadata(self) -> bool:
        return METADATA_COLUMNS[0] in self.columns

    def rules(self, options: Options) -> Rules:
        schema = tuple(column for column in self.columns if column not in METADATA_COLUMNS)
        return field_rules(
            schema,
            bigquery__project="p",
            bigquery__dataset="d",
            bigquery__row=self.row,
            bigquery__table_prefix="logs",
            bigquery__key_digits=options.key_digits if self.is_bigquery else 0,
            bigquery__unknown_fields=options.unknown_fields if self.row == "fields" else "reject",
            bigquery__metadata_columns=self.has_metadata,
            record__time_format=options.time_format,
        )


def _kinds() -> Iterator[Kind]:
    rows = [
        ("log", LOG_COLUMNS),
        ("fields", FIELD_COLUMNS),
        ("fields", (*FIELD_COLUMNS, JSON_COLUMN)),
        ("fields", (*FIELD_COLUMNS, TAGS_COLUMN)),
        ("log", (*LOG_COLUMNS, *METADATA_COLUMNS)),
        ("fields", (*FIELD_COLUMNS, JSON_COLUMN, *METADATA_COLUMNS)),
    ]
    for native in (True, False):
        yield Kind("s3", native=native)
        yield Kind("s3", "zst", native=native)
        for row, columns in rows:
            if METADATA_COLUMNS[0] not in columns:
                yield Kind("parquet", row, columns, native)
        for method in ("insert_all", "load", "storage_write"):
            for row, columns in rows:
                yield Kind(method, row, columns, native)


KINDS = tuple(_kinds())
BIGQUERY_KINDS = tuple(kind for kind in KINDS if kind.is_bigquery)


def kinds(some: Sequence[Kind]) -> pytest.MarkDecorator:
    """A test for each of them."""
    return pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in some])


@contextmanager
def running(kind: Kind) -> Iterator[None]:
    """With the C library or without it."""
    if kind.native and library.load() is None:
        pytest.skip("the C library is not there")
    with nullcontext() if kind.native else patch.object(library, "load", lambda: None):
        yield


class Shard:
    """One shard's backend. Processes that read the shard come one after the other, or come back."""

    def __init__(self, kind: Kind, options: Options = USUAL, transform: Transform | None = None) -> None:
        self.kind = kind
        self.transform = transform
        self.start: Position | None = None
        """The checkpoint that the next process reads from."""
        self._options = options
        self._store = FakeStore()
        self.backend: Backend = _backend(kind)

    def sink(self) -> Sink[Any]:
        """That of a process which begins."""
        if self.transform is None:
            return self._sink(self.kind.rules(self._options))
        rules = msgspec.structs.replace(self.kind.rules(self._options), transform=self.transform.digest)
        limits = BIGQUERY if self.kind.is_bigquery else Limits(max_depth=500, unicode_only=True)
        return TransformingSink(self._sink(rules), Step(self.transform, Judge(limits)))

    def _sink(self, rules: Rules) -> Sink[Any]:
        match self.backend:
            case Bucket() as bucket:
                return _s3(bucket, self.kind, self._options)
            case Inserts() as inserts:
                return _insert_all(inserts, rules)
            case Jobs() as jobs:
                return _load(jobs, rules)
            case Streams() as streams:
                return _storage_write(streams, self._store, rules, self.start)
        raise AssertionError(self.backend)


def _backend(kind: Kind) -> Backend:
    match kind.method:
        case "s3" | "parquet":
            return Bucket(_PREFIX, kind.columns)
        case "insert_all":
            return Inserts(kind.columns)
        case "load":
            return Jobs(kind.columns)
    return Streams(kind.columns)


_PREFIX = "prefix/"
_TABLES = "/bigquery/v2/projects/p/datasets/d/tables"
SAMPLE_MS = 1_700_000_000_000


def _s3(bucket: Bucket, kind: Kind, options: Options) -> Sink[Any]:
    times = RecordTimes(time_field=TIME_COLUMN.name, time_format=options.time_format, max_depth=500)
    object_format: ObjectFormat = ndjson(validate_json=options.validate_json, zstandard=kind.row == "zst")
    if kind.method == "parquet":
        object_format = Parquet(kind.rules(options), shard=SHARD, level=1, row_group_records=1000)
    return S3Sink(
        client=bucket,
        bucket="bucket",
        prefix=_PREFIX,
        partition="dt=%Y-%m-%d/hour=%H",
        object_stem=f"{STREAM}-{SHARD}",
        object_format=object_format,
        record_times=None if kind.method == "parquet" else times,
    )


def _insert_all(inserts: Inserts, rules: Rules) -> Sink[Any]:
    limits = RequestLimits(max_rows=500, max_bytes=_MAX_REQUEST_BYTES)
    encoder = _encoder(rules, INSERT_ALL, max_record_bytes=limits.max_row_bytes)
    return BigQuerySink(
        connection=cast(Any, inserts),
        tables_path=_TABLES,
        encoder=encoder,
        limits=limits,
        dry_run=_dry_run(inserts, rules, encoder),
        ignore_unknown=_ignores_unknown(rules),
    )


def _dry_run(backend: Any, rules: Rules, encoder: RowEncoder) -> DryRun:
    return DryRun(
        backend,
        tables_path=_TABLES,
        encoder=encoder,
        time_column=TIME_COLUMN.name,
        ignore_unknown=_ignores_unknown(rules),
        sample=_sample(rules),
    )


def _sample(rules: Rules) -> Callable[[], Record]:
    return lambda: sample_record(rules, rules.columns, now_ms=SAMPLE_MS)


def _load(jobs: Jobs, rules: Rules) -> Sink[Any]:
    destination = Destination(
        project="p",
        dataset="d",
        location="EU",
        stream=STREAM,
        shard=SHARD,
        prefix="kinesis",
        ignore_unknown=_ignores_unknown(rules),
    )
    return LoadSink(
        jobs=LoadJobs(jobs, destination, sleep=lambda seconds: None),
        dry_run=_dry_run(jobs, rules, _encoder(rules, INSERT_ALL)),
        encoder=_encoder(rules, LINES),
        jobs_per_day=1500,
        now=lambda: 0.0,
    )


def _storage_write(streams: Streams, store: FakeStore, rules: Rules, start: Position | None) -> Sink[Any]:
    return StorageWriteSink(
        writer=streams,
        store=cast(Any, store),
        rules=rules,
        maker_of=partial(row_maker, shard=SHARD),
        guard=ShareGuard(ShareLimit(1.0, 1)),
        start=start,
        max_request_bytes=_MAX_REQUEST_BYTES,
        sample=_sample(rules),
    )


def _encoder(rules: Rules, wrapping: Wrapping, *, max_record_bytes: int | None = None) -> RowEncoder:
    return row_encoder(
        rules, rules.columns, stream=STREAM, shard=SHARD, wrapping=wrapping, max_record_bytes=max_record_bytes
    )


def _ignores_unknown(rules: Rules) -> bool:
    return rules.text("bigquery.unknown_fields") == "ignore"


# What delivery does with a sink


def deliver(sink: Sink[Any], chunk: Chunk, counts: Counter[str] | None = None) -> list[Rejection]:
    """Until every record of the chunk is durable or rejected. What is to be billed is added to `counts`."""
    prepared = sink.prepare(chunk)
    if prepared.may_release_records:
        chunk.release()
    rejections = send_all(sink, prepared, counts)
    assert not rejections or len(chunk.records) == chunk.count, "a dead letter holds its record"
    return rejections


def send_all(sink: Sink[Any], prepared: Prepared[Any], counts: Counter[str] | None = None) -> list[Rejection]:
    """Each request until nothing of it is left."""
    rejections = [*prepared.rejections]
    for request in prepared.requests:
        pending = [request]
        for _ in range(_MOST_ATTEMPTS):
            if not pending:
                break
            rejections += _send_last(sink, pending, Counter() if counts is None else counts)
        assert not pending, "it is sent for ever"
    return rejections


_MOST_ATTEMPTS = 1000


def _attempt(sink: Sink[Any], request: Any) -> Outcome[Any]:
    try:
        return sink.send(request)
    except RequestRefused as refusal:
        return sink.split(request, str(refusal))


def _send_last(sink: Sink[Any], pending: list[Any], counts: Counter[str]) -> Sequence[Rejection]:
    """One attempt for the last request, which is replaced by what is left of it."""
    try:
        outcome = _attempt(sink, pending[-1])
    except DeliveryError:
        return ()
    counts.update(outcome.counts)
    pending.pop()
    pending += outcome.again
    return outcome.rejections
