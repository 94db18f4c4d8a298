"""`bin/check --sample` says of a record what delivery would do with it: what the documentation says."""

import json
from pathlib import Path

import pytest

from consumer.settings import Settings, load
from consumer.settings.schema import Column
from consumer.sinks.trial.rejections import rejections
from tests.contract.cases import CASES, Line, Row
from tests.contract.expected import wanted_of
from tests.contract.sinks import KINDS, METADATA_COLUMNS, Kind, Options, kinds, running

PLACES = {
    "applicationName": "application",
    "streamName": "stream",
    "regionName": "us-east-1",
    "deadletter.bucket": "bucket",
}


def settings_of(kind: Kind, options: Options, folder: Path) -> Settings:
    chosen = PLACES | {"record.time_format": options.time_format}
    if not kind.is_bigquery:
        own = {"s3.bucket": "bucket", "s3.validate_json": str(options.validate_json).lower()}
        if kind.method == "parquet":
            own = {"s3.bucket": "bucket", "s3.format": "parquet"}
        if kind.row == "fields":
            own |= {"s3.schema_file": _schema(kind, folder), "s3.unknown_fields": options.unknown_fields}
        return load("s3", overrides=chosen | own)
    chosen |= {
        "bigquery.project": "project",
        "bigquery.dataset": "dataset",
        "bigquery.method": kind.method,
        "bigquery.row": kind.row,
        "bigquery.key_digits": str(options.key_digits),
        "bigquery.metadata_columns": str(kind.has_metadata).lower(),
        "chunk.window": "60s",
    }
    if kind.row == "fields":
        chosen |= {
            "bigquery.schema_file": _schema(kind, folder),
            "bigquery.unknown_fields": options.unknown_fields,
        }
    return load("bigquery", overrides=chosen)


def _schema(kind: Kind, folder: Path) -> str:
    """The path of a file with the columns."""
    schema = folder / "schema.json"
    columns = [_written(column) for column in kind.columns if column not in METADATA_COLUMNS]
    schema.write_text(json.dumps(columns))
    return str(schema)


def _written(column: Column) -> dict[str, str]:
    return {"name": column.name, "type": column.type, "mode": column.mode}


@pytest.mark.parametrize("group", CASES)
@kinds([kind for kind in KINDS if kind.native])
def test_the_verdict_on_a_sample_is_that_of_delivery(kind: Kind, group: str, tmp_path: Path) -> None:
    wrong = []
    settings = {
        options: settings_of(kind, options, tmp_path) for options in {case.options for case in CASES[group]}
    }
    with running(kind):
        for case in CASES[group]:
            judged = rejections(settings[case.options], [case.payload], arrival_ms=case.arrival_ms)
            found = [each.reason for each in judged]
            wanted = wanted_of(kind, case)
            expected = [] if isinstance(wanted, Line | Row) else [wanted]
            if found != expected:
                wrong.append(f"{case.name}: {found} and not {expected}")
    assert wrong == []
