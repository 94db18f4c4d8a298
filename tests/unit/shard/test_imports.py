"""What a shard process loads: memory is paid once a shard."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.settings import PROJECT_ROOT, load

BUILD = """
import sys
from consumer.settings import Settings
from consumer.shard.process.assembly import build_pipeline
build_pipeline(Settings.parse(sys.stdin.buffer.read()), print, "shardId-000000000000")
heavy = {"google.auth", "google.cloud.bigquery", "boto3", "grpc", "pyarrow", "zstandard"}
print(*sorted(heavy & sys.modules.keys()))
"""


def loaded(dumped: bytes) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", BUILD],
        input=dumped,
        env={"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().split()


def test_a_shard_process_of_s3_loads_nothing_of_google() -> None:
    assert loaded(load("s3", overrides={"s3.bucket": "bucket"}).dump()) == ["boto3"]


@pytest.mark.parametrize(
    ("form", "library"), [("ndjson.gz", []), ("ndjson.zst", ["zstandard"]), ("parquet", ["pyarrow"])]
)
def test_a_shard_process_of_s3_loads_what_its_format_needs(form: str, library: list[str]) -> None:
    settings = load("s3", overrides={"s3.bucket": "bucket", "s3.format": form})
    assert loaded(settings.dump()) == ["boto3", *library]


def test_a_shard_process_of_bigquery_loads_google_s_credentials_and_not_its_clients() -> None:
    overrides = {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"}
    assert loaded(load("bigquery", overrides=overrides).dump()) == ["boto3", "google.auth"]


STORAGE_WRITE = {
    "bigquery.project": "project",
    "bigquery.dataset": "dataset",
    "bigquery.method": "storage_write",
    "deadletter.bucket": "bucket",
}


def test_a_shard_process_of_storage_write_loads_grpc_and_not_googles_clients() -> None:
    assert loaded(load("bigquery", overrides=STORAGE_WRITE).dump()) == ["boto3", "google.auth", "grpc"]


def test_metadata_columns_need_no_arrow() -> None:
    settings = load("bigquery", overrides={**STORAGE_WRITE, "bigquery.metadata_columns": "true"})
    assert loaded(settings.dump()) == ["boto3", "google.auth", "grpc"]


@pytest.mark.parametrize(("column_type", "arrow"), [("NUMERIC", []), ("BYTES", ["pyarrow"])])
def test_a_shard_process_loads_arrow_where_columns_have_rare_types(
    column_type: str, arrow: list[str], tmp_path: Path
) -> None:
    columns = [{"name": "time", "type": "TIMESTAMP"}, {"name": "x", "type": column_type}]
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps([{"name": "player_id", "type": "STRING"}, *columns]))
    fields = {"bigquery.row": "fields", "bigquery.schema_file": str(schema)}
    settings = load("bigquery", overrides={**STORAGE_WRITE, **fields})
    assert loaded(settings.dump()) == ["boto3", "google.auth", "grpc", *arrow]
