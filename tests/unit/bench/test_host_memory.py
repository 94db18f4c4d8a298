"""The sum for a host against its page and against the committed figures of real runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from consumer.daemon.supervise import heap
from consumer.daemon.supervise.heap import heap_for
from consumer.settings import PROJECT_ROOT, Settings, load
from consumer.settings.table import Backend
from tests.bench import host_memory
from tests.bench.host_memory import host_mib, shard_mib

DOCS = PROJECT_ROOT / "docs"
NAMES: dict[Backend, dict[str, str]] = {
    "s3": {"s3.bucket": "bucket"},
    "bigquery": {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"},
}


def settings(backend: Backend, **given: str) -> Settings:
    file = PROJECT_ROOT / "properties" / f"{backend}.properties"
    return load(backend, file=file, overrides={**NAMES[backend], **given})


def rows(level: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DOCS / "benchmarks" / f"{level}.json").read_text())["rows"]
    return found


INSERT_ALL = {"bigquery.method": "insert_all"}


def test_the_page_has_the_numbers_of_the_sum() -> None:
    page = " ".join((DOCS / "ec2.md").read_text().split())
    for text in (
        f"heap + {host_memory.BACKEND_MIB} MiB + shards × ({host_memory.FORKED_MIB} MiB + delivery.max_in_flight_bytes",
        f"{host_memory.SERVER_MIB} MiB of fork server",
        f"{heap.LEAST_MIB} MiB, or {heap.KCL_MIB} MiB and, for each open shard of the stream, {heap.ANSWERS} answers",
        f"answers of Kinesis ({heap.ANSWER_MIB} MiB each)",
        f"{host_memory.APART_MIB} MiB with `shard.fork_server = false`",
        f"{host_memory.GRPC_MIB} MiB more with `bigquery.method = storage_write`",
        f"{host_memory.PYARROW_MIB} MiB more than that with `bigquery.row = fields`",
        f"{shard_mib(settings('s3')):.0f} MiB a shard for S3 and {shard_mib(settings('bigquery')):.0f} for BigQuery",
    ):
        assert text in page


def test_the_sum_grows_with_shards_and_limits(tmp_path: Path) -> None:
    usual = settings("s3")
    assert host_mib(usual, heap_mib=512, shards=0) == 512 + host_memory.BACKEND_MIB
    assert host_mib(usual, heap_mib=512, shards=3) - host_mib(usual, heap_mib=512, shards=1) == 2 * shard_mib(
        usual
    )
    apart = settings("s3", **{"shard.fork_server": "false"})
    assert shard_mib(apart) - shard_mib(usual) == host_memory.APART_MIB - host_memory.FORKED_MIB
    more = settings("bigquery", **{"bigquery.method": "storage_write"})
    assert shard_mib(more) - shard_mib(settings("bigquery", **INSERT_ALL)) == host_memory.GRPC_MIB
    schema = tmp_path / "schema.json"
    schema.write_text('[{"name": "player_id", "type": "STRING"}, {"name": "time", "type": "TIMESTAMP"}]')
    fields = {"bigquery.row": "fields", "bigquery.schema_file": str(schema)}
    typed = settings("bigquery", **{"bigquery.method": "storage_write", **fields})
    assert shard_mib(typed) - shard_mib(more) == host_memory.PYARROW_MIB


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
def test_a_shard_process_that_is_full_takes_what_the_sum_says_and_half_of_it_at_least(
    backend: Backend,
) -> None:
    peak = max(row["peak_pss_mib"] for row in rows("memory") if row["backend"] == backend)
    given = INSERT_ALL if backend == "bigquery" else {}  # as bin/bench memory measures it
    assert peak <= shard_mib(settings(backend, **given)) <= 2 * peak


@pytest.mark.parametrize("shards", [0, 1, 3, 4, 16, 1000])
def test_the_heap_is_the_one_that_the_supervisor_gives(shards: int) -> None:
    assert host_memory.heap_mib(shards) == heap_for(shards, memory_bytes=1 << 60).mib


def test_a_jvm_that_lags_stays_within_its_heap_and_what_is_beside_it() -> None:
    for row in rows("kcl"):
        most = heap_for(row["shards"], memory_bytes=1 << 40).mib
        assert row["jvm_peak_rss_mib"] <= most + host_memory.BACKEND_MIB - host_memory.SERVER_MIB


def test_workers_with_many_shards_stay_within_the_sum() -> None:
    for row in rows("workers"):
        if row["shards"]:
            assert row["jvm_rss_mib"] <= heap.LEAST_MIB + host_memory.BACKEND_MIB - host_memory.SERVER_MIB
            servers = row["workers"] * host_memory.SERVER_MIB
            assert row["shards"] * row["shard_pss_mib"] <= servers + row["shards"] * host_memory.FORKED_MIB
