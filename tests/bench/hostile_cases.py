"""The shard processes that hostile records are given to: backend, method, shape of rows, with or without C library."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from consumer.settings import Settings
from tests.bench.backend import Backend
from tests.bench.cases import settings_for
from tests.hostile.kinds import Shape

type Method = Literal["insert_all", "load", "storage_write"]

METHODS: tuple[Method, ...] = ("insert_all", "load", "storage_write")
_COLUMNS = (
    {"name": "player_id", "type": "STRING"},
    {"name": "time", "type": "TIMESTAMP", "mode": "REQUIRED"},
    {"name": "number", "type": "INTEGER"},
    {"name": "event", "type": "STRING"},
)
_JSON_COLUMN = {"name": "note", "type": "JSON"}
_ARRAY_COLUMNS = (
    {"name": "prices", "type": "NUMERIC", "mode": "REPEATED"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
)
_FIELDS = {"bigquery.row": "fields"}
_METADATA = {"bigquery.metadata_columns": "true"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    settings: Mapping[str, str]
    fields: bool = True
    more_columns: tuple[Mapping[str, str], ...] = ()
    metadata: bool = False


_ROWS = {
    "log": _Rows(settings={}, fields=False),
    "log and metadata": _Rows(settings=_METADATA, fields=False, metadata=True),
    "fields": _Rows(settings={**_FIELDS, "bigquery.unknown_fields": "ignore"}),
    "fields with JSON": _Rows(settings=_FIELDS, more_columns=(_JSON_COLUMN,)),
    "fields with arrays": _Rows(
        settings={**_FIELDS, "bigquery.unknown_fields": "ignore"}, more_columns=_ARRAY_COLUMNS
    ),
    "fields and overflow": _Rows(settings={**_FIELDS, "bigquery.unknown_fields": "overflow"}),
    "fields and metadata": _Rows(
        settings={**_FIELDS, **_METADATA, "bigquery.unknown_fields": "ignore"},
        metadata=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileCase:
    """`metadata` are columns that tell where a row comes from, `arrow` says that some rows take pyarrow."""

    name: str
    shape: Shape
    settings: Mapping[str, str]
    columns: tuple[Mapping[str, str], ...] = _COLUMNS
    metadata: bool = False
    arrow: bool = False

    def settings_at(self, backend: Backend, folder: Path) -> Settings:
        """Everything may become a dead letter, or the shard would be held; writes the schema file to `folder`."""
        chosen = {"deadletter.max_ratio": "1", **self.settings}
        return settings_for(self.shape.backend, chosen, self.columns, backend, folder)


def hostile_cases() -> list[HostileCase]:
    """All of them."""
    return [case for native in (True, False) for case in (*_of_s3(native), *_of_bigquery(native))]


def usual_hostile_cases() -> dict[str, HostileCase]:
    """S3 and each method of BigQuery as most use them, by the names of the other levels' targets."""
    by_name = {case.name: case for case in hostile_cases()}
    return {
        "s3": by_name["s3, native"],
        "bigquery": by_name["insert_all, log, 1 digit, native"],
        "load": by_name["load, log, 1 digit, native"],
        "storage_write": by_name["storage_write, log, 1 digit, native"],
    }


def _of_s3(native: bool) -> Iterator[HostileCase]:
    for name, settings in (("s3", {}), ("s3, by the record's time", {"s3.partition_time": "record"})):
        yield HostileCase(
            name=f"{name}, {_told(native)}",
            shape=Shape(backend="s3"),
            settings={**settings, **_native(native)},
        )


def _of_bigquery(native: bool) -> Iterator[HostileCase]:
    for method in METHODS:
        for name, rows in _ROWS.items():
            for digits in (1, 0):
                yield HostileCase(
                    name=f"{method}, {name}, {digits} digit{'s' * (digits != 1)}, {_told(native)}",
                    shape=Shape(backend="bigquery", fields=rows.fields, key_digits=digits),
                    settings={
                        "bigquery.method": method,
                        "bigquery.key_digits": str(digits),
                        **rows.settings,
                        **_native(native),
                    },
                    columns=(*_COLUMNS, *rows.more_columns),
                    metadata=rows.metadata,
                    arrow=method == "storage_write" and rows.fields,
                )


def _native(native: bool) -> dict[str, str]:
    return {"shard.native": "true" if native else "false"}


def _told(native: bool) -> str:
    return "native" if native else "Python"
