"""Load jobs as the embedded BigQuery runs them: the file as Google would read it."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from local_bigquery.errors import BigQueryError
from local_bigquery.models import JobConfigurationLoad

from consumer.local.bigquery.load import _prepare

FIELDS = [{"name": "a", "type": "STRING"}, {"name": "j", "type": "JSON"}]


def prepared(content: bytes, folder: Path, **options: Any) -> list[dict[str, Any]]:
    file = folder / "upload"
    file.write_bytes(content)
    config = JobConfigurationLoad.model_validate(
        {"sourceFormat": "NEWLINE_DELIMITED_JSON", "schema": {"fields": FIELDS}, **options}
    )
    _prepare(file, config)
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_gzip_file_is_read_as_one_that_is_not(tmp_path: Path) -> None:
    lines = b'{"a":"x"}\n\n{"A":"y"}\n'
    assert prepared(gzip.compress(lines), tmp_path) == prepared(lines, tmp_path) == [{"a": "x"}, {"A": "y"}]


def test_a_json_column_takes_any_value(tmp_path: Path) -> None:
    values: list[Any] = [{"b": [1]}, "text", 5, None]
    lines = "".join(json.dumps({"j": value}) + "\n" for value in values)
    rows = prepared(lines.encode(), tmp_path)
    assert [None if row["j"] is None else json.loads(row["j"]) for row in rows] == values


def test_a_field_without_a_column_fails_the_job_unless_it_says_otherwise(tmp_path: Path) -> None:
    with pytest.raises(BigQueryError, match="No such field: other"):
        prepared(b'{"other":1}\n', tmp_path)
    assert prepared(b'{"other":1}\n', tmp_path, ignoreUnknownValues=True) == [{"other": 1}]
    assert prepared(b'{"other":1}\n', tmp_path, maxBadRecords=1) == [{"other": 1}]


TIMES = [
    {"name": "at", "type": "TIMESTAMP"},
    {"name": "tags", "type": "STRING", "mode": "REPEATED"},
]


@pytest.mark.parametrize(
    "row", [b'{"at":"2026-11-20T23:59:59.9999999Z"}', b'{"tags":null}', b'{"TAGS":null}']
)
def test_what_google_refuses_fails_the_job(tmp_path: Path, row: bytes) -> None:
    with pytest.raises(BigQueryError, match="JSON parsing error"):
        prepared(row, tmp_path, schema={"fields": TIMES})


def test_microseconds_and_missing_arrays_are_taken(tmp_path: Path) -> None:
    row = {"at": "2026-11-20T23:59:59.999999Z"}
    assert prepared(json.dumps(row).encode(), tmp_path, schema={"fields": TIMES}) == [row]
