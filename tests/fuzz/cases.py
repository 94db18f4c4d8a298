"""Every way from a chunk to requests: the sinks with the settings that make a difference to records."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import Mock

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection, ShareGuard, ShareLimit
from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.insert_all.requests import RequestLimits
from consumer.sinks.bigquery.insert_all.sink import BigQuerySink
from consumer.sinks.bigquery.load.sink import LoadSink
from consumer.sinks.bigquery.rows.build import row_encoder
from consumer.sinks.bigquery.rows.shapes import INSERT_ALL, LINES
from consumer.sinks.bigquery.storage_write.sink import StorageWriteSink
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.sink import S3Sink
from tests.unit.sinks.bigquery.storage_write.builders import SHARD, SIMPLE, decoded, field_rules
from tests.unit.sinks.bigquery.storage_write.fakes import FakeBigQuery, FakeStore
from tests.unit.sinks.formats import ndjson

type Place = tuple[int, str, str]
"""A record by its index, the object or table that it goes to, and what stands there."""


@dataclass(frozen=True)
class Taken:
    """What became of a chunk's records."""

    places: Sequence[Place]
    rejections: Sequence[Rejection]


type Prepare = Callable[[Chunk], Taken]

# S3

S3_DEPTH = 100


def _s3(*, partition: str, by_record: bool, validate: bool) -> Prepare:
    times = RecordTimes(time_field="time", time_format="iso8601", max_depth=S3_DEPTH)
    sink = S3Sink(
        client=None,
        bucket="bucket",
        prefix="",
        partition=partition,
        object_stem="stream",
        object_format=ndjson(validate_json=validate, max_depth=S3_DEPTH),
        record_times=times if by_record else None,
    )

    def prepare(chunk: Chunk) -> Taken:
        prepared = sink.prepare(chunk)
        rejected = {rejection.index for rejection in prepared.rejections}
        groups = sink._paths.group(sink._times_ms(chunk.records))
        bodies = {request.key.rpartition("stream-")[0]: request.body for request in prepared.requests}
        places: list[Place] = []
        for path, chosen in groups.items():
            kept = [
                index for index in (range(chunk.count) if chosen is None else chosen) if index not in rejected
            ]
            lines = zlib.decompress(bodies.pop(path), 31).split(b"\n")[:-1] if kept else []
            places += [(index, path, repr(line)) for index, line in zip(kept, lines, strict=True)]
        assert not bodies, "objects without records"
        return Taken(places, prepared.rejections)

    return prepare


# BigQuery


_scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


def _rows(body: bytes) -> Iterator[str]:
    """Of an insertAll request, as they are spelled."""
    text = body.decode()
    place = text.index('"rows":[') + len('"rows":')
    while text[place] != "]":
        begin = place + 1
        _, place = _scan(text, begin)
        yield text[begin:place]
    assert text[place:] == "]}", "something stands behind the rows"


def _insert_all(rules: Rules, limits: RequestLimits) -> Prepare:
    encoder = row_encoder(rules, rules.columns, stream="stream", shard=SHARD, wrapping=INSERT_ALL)
    sink = BigQuerySink(connection=_unused(), tables_path="", encoder=encoder, limits=limits, dry_run=Mock())

    def prepare(chunk: Chunk) -> Taken:
        prepared = sink.prepare(chunk)
        places: list[Place] = []
        for request in prepared.requests:
            assert len(request.body) <= limits.max_bytes, "a body above the limit"
            assert 0 < len(request.indices) <= limits.max_rows, "rows above the limit, or none"
            rows = _rows(bytes(request.body))
            places += [(index, request.table, row) for index, row in zip(request.indices, rows, strict=True)]
        return Taken(places, prepared.rejections)

    return prepare


def _load(rules: Rules) -> Prepare:
    encoder = row_encoder(rules, rules.columns, stream="stream", shard=SHARD, wrapping=LINES)
    sink = LoadSink(jobs=_unused(), dry_run=Mock(), encoder=encoder, jobs_per_day=1, now=lambda: 0.0)

    def prepare(chunk: Chunk) -> Taken:
        prepared = sink.prepare(chunk)
        places: list[Place] = []
        for request in prepared.requests:
            lines = zlib.decompress(request.content(), 31).split(b"\n")[:-1]
            places += [
                (index, request.table, repr(line)) for index, line in zip(request.indices, lines, strict=True)
            ]
        return Taken(places, prepared.rejections)

    return prepare


def _storage_write(rules: Rules) -> Prepare:
    def maker_of(own: Rules) -> Any:
        return row_maker(own, shard=SHARD)

    sink = StorageWriteSink(
        writer=FakeBigQuery(),
        store=FakeStore(),
        rules=rules,
        maker_of=maker_of,
        guard=ShareGuard(ShareLimit(1.0, 1)),
        start=None,
        max_request_bytes=9_000_000,
        sample=_unused,
    )

    def prepare(chunk: Chunk) -> Taken:
        prepared = sink.prepare(chunk)
        places: list[Place] = []
        for request in prepared.requests:
            rows = decoded(sink._maker, request.rows).to_pylist()
            places += [
                (index, request.table, repr(row))
                for index, row in zip(request.rows.indices, rows, strict=True)
            ]
        return Taken(places, prepared.rejections)

    return prepare


def _unused() -> Any:
    """A request is prepared without it."""
    return None


_FIELDS = (Column("x", "INTEGER"), Column("y", "STRING"))
NESTED = (
    *SIMPLE,
    Column("notes", "JSON", "REPEATED"),
    Column("one", "RECORD", fields=(*_FIELDS, Column("seen", "TIMESTAMP"), Column("note", "JSON"))),
    Column("many", "RECORD", "REPEATED", fields=_FIELDS),
    Column("k", "BYTES"),
    Column("t", "DATETIME"),
)
STRICT = (*SIMPLE[:2], Column("score", "INTEGER", "REQUIRED"), Column("note", "JSON", "REQUIRED"))
TEXTS = tuple(Column(name, "STRING") for name in ("player_id", "score", "note")) + SIMPLE[1:2]

RULES: Mapping[str, Rules] = {
    "log": field_rules((), bigquery__row="log"),
    "log, one table": field_rules((), bigquery__row="log", bigquery__key_digits=0),
    "log, 256 tables": field_rules((), bigquery__row="log", bigquery__key_digits=2),
    "log, metadata": field_rules((), bigquery__row="log", bigquery__metadata_columns=True),
    "log, epoch": field_rules((), bigquery__row="log", record__time_format="epoch_ms"),
    "fields": field_rules(SIMPLE),
    "fields, others ignored": field_rules(SIMPLE, bigquery__unknown_fields="ignore", bigquery__key_digits=0),
    "fields, others kept": field_rules(SIMPLE, bigquery__unknown_fields="overflow"),
    "fields, metadata": field_rules(
        SIMPLE, bigquery__metadata_columns=True, bigquery__unknown_fields="ignore"
    ),
    "fields, other time": field_rules(SIMPLE, record__time_field="seen"),
    "fields, required": field_rules(STRICT, bigquery__unknown_fields="ignore"),
    "fields, texts": field_rules(TEXTS, bigquery__unknown_fields="ignore"),
    "fields, nested": field_rules(NESTED, bigquery__unknown_fields="ignore"),
    "fields, nested, others refused": field_rules(NESTED),
    "fields, nested, others kept": field_rules(NESTED, bigquery__unknown_fields="overflow"),
}

_USUAL = RequestLimits(max_rows=500, max_bytes=9_000_000)
_SMALL = RequestLimits(max_rows=3, max_bytes=1_000)


def _cases() -> Iterator[tuple[str, Callable[[], Prepare]]]:
    hourly = "dt=%Y-%m-%d/hour=%H"
    yield "s3", partial(_s3, partition="", by_record=False, validate=True)
    yield "s3, by record", partial(_s3, partition=hourly, by_record=True, validate=True)
    yield "s3, anything", partial(_s3, partition=hourly, by_record=False, validate=False)
    for name, rules in RULES.items():
        yield f"insert_all, {name}", partial(_insert_all, rules, _USUAL)
        yield f"load, {name}", partial(_load, rules)
        yield f"storage_write, {name}", partial(_storage_write, rules)
    for name in ("log", "fields"):
        yield f"insert_all, {name}, small requests", partial(_insert_all, RULES[name], _SMALL)


CASES: Mapping[str, Callable[[], Prepare]] = dict(_cases())
"""Each makes a new sink, with the C library or without it as things are then."""
