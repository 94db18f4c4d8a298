"""local-bigquery's load jobs of newline-delimited JSON, corrected where they differ from Google's.

As it comes, a gzip file cannot be read, a job without a schema takes its columns from the file and not from the
table, a missing table is made whatever the job says, fields without a column are dropped in silence, as are decimals
of a time and null for an array; and a text in a JSON column is taken for JSON itself.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from local_bigquery.catalog import tables
from local_bigquery.errors import BigQueryError, not_found
from local_bigquery.jobs import load, runner
from local_bigquery.models import JobConfigurationLoad, TableFieldSchema, TableSchema

from consumer.local.bigquery.insert_all import is_too_precise

_GZIP_MAGIC = b"\x1f\x8b"
_original = load.run


def install() -> None:
    """Make local-bigquery run load jobs by `run`."""
    runner.HANDLERS["load"] = run


def run(cursor: Any, config: JobConfigurationLoad, upload: str | None) -> Any:
    """One load job; raises BigQueryError."""
    place = tables.reference(config.destinationTable)
    if config.createDisposition == "CREATE_NEVER" and not tables.exists(*place):
        raise not_found("Table", f"{place[0]}:{place[1]}.{place[2]}")
    if upload is not None and config.sourceFormat == "NEWLINE_DELIMITED_JSON":
        if config.schema_ is None and tables.exists(*place):
            config.schema_ = TableSchema(fields=tables.columns(*place))
        _prepare(Path(upload), config)
    return _original(cursor, config, upload)


def _prepare(file: Path, config: JobConfigurationLoad) -> None:
    """Rewrite the file as the engine reads it."""
    content = file.read_bytes()
    if content.startswith(_GZIP_MAGIC):
        content = gzip.decompress(content)
    fields = {} if config.schema_ is None else {field.name: field for field in config.schema_.fields or []}
    rows = [json.loads(line) for line in content.splitlines() if line.strip()]
    if fields:
        _refuse(rows, fields, config)
        for name, field in fields.items():
            if field.type == "JSON" and field.mode != "REPEATED":
                _quote(rows, name)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _refuse(
    rows: list[dict[str, Any]], fields: dict[str, TableFieldSchema], config: JobConfigurationLoad
) -> None:
    by_name = {name.casefold(): field for name, field in fields.items()}
    faults = [
        fault
        for row in rows
        for name, value in row.items()
        if (fault := _fault(name, value, by_name.get(name.casefold()), bool(config.ignoreUnknownValues)))
    ]
    if len(faults) > (config.maxBadRecords or 0):
        raise BigQueryError(
            "invalid", f"Error while reading data, error message: JSON parsing error: {faults[0]}"
        )


def _fault(name: str, value: object, field: TableFieldSchema | None, ignores_unknown: bool) -> str | None:
    if field is None:
        return None if ignores_unknown else f"No such field: {name}."
    if field.mode == "REPEATED" and value is None:
        return f"Only optional fields can be set to NULL. Field: {name}; Value: NULL"
    if field.type in ("TIMESTAMP", "DATETIME", "TIME") and is_too_precise(value):
        return f"Could not parse '{value}' as {field.type}. Field: {name}"
    return None


def _quote(rows: list[dict[str, Any]], name: str) -> None:
    """The engine reads JSON columns as texts that hold JSON."""
    for row in rows:
        if row.get(name) is not None:
            row[name] = json.dumps(row[name])
