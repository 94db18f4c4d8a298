"""What is measured of the shard process: backends, formats, sizes of records, and what to compare them with."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from consumer.settings import BACKENDS, Backend, Settings, load
from tests.bench.backend import Backend as Discarding
from tests.bench.inputs import Input, schema

SIZES = (200, 700, 1_000, 10_000, 100_000)
USUAL_SIZE = 700
_BYTES_A_RUN = 280_000_000

type Target = Backend | Literal["storage_write"]
"""A backend and the way to write to it: "bigquery" stands for insertAll."""

_SHARD_PROCESS = ("consumer.shard",)
_GRPC_ALONE = ("tests.bench.programs.grpc_alone",)

_COMMON = {
    "streamName": "player-logs",
    "regionName": "us-east-1",
    "AwsCredentialsProvider": "DefaultCredentialsProvider",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table. `program` is what follows `python -m`; `URL` in it stands for the backend's."""

    backend: Backend
    name: str
    input: Input
    program: Sequence[str] = _SHARD_PROCESS
    settings: Mapping[str, str] = field(default_factory=dict)
    delivers: bool = True
    """Whether the program has to have delivered everything; the one that acknowledges does not."""

    @property
    def is_shard_process(self) -> bool:
        return self.program in (_SHARD_PROCESS, _GRPC_ALONE)


def cases(records: int) -> list[Case]:
    """All of them; `records` is how many a run gives, fewer where they are large."""
    made: list[Case] = []
    for target, formats in FORMATS.items():
        usual = next(iter(formats))
        made += [_case(target, usual, size, records) for size in SIZES]
        made += [_case(target, name, USUAL_SIZE, records) for name in formats if name != usual]
    made += [_plain(backend, records // 4) for backend in BACKENDS]
    made.append(_acknowledging(records))
    return made


def usual_case(target: Target, size: int, records: int = 400_000) -> Case:
    """The shard process with the target's usual format."""
    return _case(target, next(iter(FORMATS[target])), size, records)


def usual_cases(size: int, records: int = 400_000) -> list[Case]:
    """The shard process of each backend, with its usual format."""
    return [usual_case(backend, size, records) for backend in BACKENDS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    settings: Mapping[str, str] = field(default_factory=dict)
    ascii_only: bool = True
    arrivals_per_second: int = 10_000
    program: Sequence[str] = _SHARD_PROCESS
    is_rich: bool = False
    is_visit: bool = False
    events: int = 1


def _transform(name: str) -> _Format:
    return _Format(settings={"transform": f"tests.bench.transforms:{name}"}, is_visit=True)


SCHEMA = "SCHEMA"
"""Stands for the path of the schema file."""

_INSERT_ALL = {"bigquery.method": "insert_all"}
_STORAGE_WRITE = {"bigquery.method": "storage_write"}
FORMATS: Mapping[Target, Mapping[str, _Format]] = {
    "s3": {
        "gzip NDJSON": _Format(),
        "not validated": _Format(settings={"s3.validate_json": "false"}),
        "by the record's time": _Format(settings={"s3.partition_time": "record"}),
        "by a field, 10 paths": _Format(
            settings={"s3.key_template": "event={event}/dt=%Y-%m-%d/hour=%H"}, events=10
        ),
        "zstd NDJSON": _Format(settings={"s3.format": "ndjson.zst"}),
        "Parquet, log": _Format(settings={"s3.format": "parquet"}),
        "Parquet, fields": _Format(settings={"s3.format": "parquet", "s3.schema_file": SCHEMA}),
        "Parquet, fields, by a field, 10 paths": _Format(
            settings={"s3.format": "parquet", "s3.schema_file": SCHEMA, "s3.key_template": "event={event}"},
            events=10,
        ),
        "visits": _Format(is_visit=True),
        "visits, transform: the record as it is": _transform("nothing"),
        "visits, transform: drop": _transform("dropped"),
        "visits, transform: rename": _transform("renamed"),
        "visits, transform: to_types": _transform("typed"),
        "visits, transform: referrer": _transform("referred"),
        "visits, transform: user_agent": _transform("agents"),
        "visits, transform: pseudonym": _transform("pseudonyms"),
        "visits, transform: all of them in a chain": _transform("everything"),
        "not ASCII": _Format(ascii_only=False),
        "1,000 arrivals/s": _Format(arrivals_per_second=1000),
    },
    "bigquery": {
        "row=log": _Format(settings=_INSERT_ALL),
        "row=fields": _Format(settings={**_INSERT_ALL, "bigquery.row": "fields"}),
        "row=log, not ASCII": _Format(settings=_INSERT_ALL, ascii_only=False),
        "row=log, 1,000 arrivals/s": _Format(settings=_INSERT_ALL, arrivals_per_second=1000),
    },
    "storage_write": {
        "storage_write, row=log": _Format(settings=_STORAGE_WRITE),
        "storage_write, row=fields": _Format(settings={**_STORAGE_WRITE, "bigquery.row": "fields"}),
        "storage_write, row=fields, NUMERIC and arrays": _Format(
            settings={**_STORAGE_WRITE, "bigquery.row": "fields"}, is_rich=True
        ),
        "storage_write, row=fields, overflow": _Format(
            settings={**_STORAGE_WRITE, "bigquery.row": "fields", "bigquery.unknown_fields": "overflow"}
        ),
        "storage_write, row=log, 1,000 arrivals/s": _Format(
            settings=_STORAGE_WRITE, arrivals_per_second=1000
        ),
        "storage_write, row=log, 1,000 arrivals/s, gRPC's own gevent": _Format(
            settings=_STORAGE_WRITE, arrivals_per_second=1000, program=_GRPC_ALONE
        ),
    },
}
"""The first of each is measured by size."""

TARGETS = tuple(FORMATS)


def settings_of(case: Case, backend: Discarding, folder: Path) -> Settings:
    """For a shard process that delivers to the discarding backend; writes the schema file to `folder`."""
    return settings_for(case.backend, case.settings, schema(case.input), backend, folder)


def settings_for(
    name: Backend,
    chosen: Mapping[str, str],
    columns: Sequence[Mapping[str, str]],
    backend: Discarding,
    folder: Path,
) -> Settings:
    """For a shard process of a backend; writes the schema file with these columns to `folder`.

    Each call names another table of positions, so that no shard goes on where one of a run before has ended.
    """
    schema_file = folder / "schema.json"
    schema_file.write_text(json.dumps(columns))
    own = {
        "s3": {"applicationName": "bench-s3", "s3.bucket": "bucket"},
        "bigquery": {
            "applicationName": "bench-bigquery",
            "deadletter.bucket": "bucket",
            "bigquery.project": "project",
            "bigquery.dataset": "dataset",
            "bigquery.schema_file": str(schema_file),
            "bigquery.api_endpoint": backend.url,
            "bigquery.storage_endpoint": backend.grpc_url,
            "bigquery.positions_table": f"bench-{uuid.uuid4().hex}",
            "bigquery.credentials": "anonymous",
            "dynamoDBEndpoint": backend.url,
        },
    }[name]
    chosen = {key: str(schema_file) if value == SCHEMA else value for key, value in chosen.items()}
    return load(name, overrides={**_COMMON, "s3.endpoint_url": backend.url, **own, **chosen})


def _case(target: Target, name: str, size: int, records: int) -> Case:
    wanted = FORMATS[target][name]
    return Case(
        backend="s3" if target == "s3" else "bigquery",
        name=name,
        input=Input(
            record_bytes=size,
            count=min(records, _BYTES_A_RUN // size),
            arrivals_per_second=wanted.arrivals_per_second,
            ascii_only=wanted.ascii_only,
            is_rich=wanted.is_rich,
            is_visit=wanted.is_visit,
            events=wanted.events,
        ),
        settings=wanted.settings,
        program=wanted.program,
    )


def _plain(backend: Backend, records: int) -> Case:
    return Case(
        backend=backend,
        name="plain amazon_kclpy",
        input=Input(record_bytes=USUAL_SIZE, count=records),
        program=("tests.bench.programs.plain", backend, "URL"),
    )


def _acknowledging(records: int) -> Case:
    return Case(
        backend="s3",
        name="only acknowledges",
        input=Input(record_bytes=USUAL_SIZE, count=records),
        program=("tests.bench.programs.acknowledge",),
        delivers=False,
    )
