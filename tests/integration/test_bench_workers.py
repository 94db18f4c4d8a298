"""Level `workers` of the bench with few shards and quick leases."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.bench.report import report
from tests.bench.workers_level import STEPS, Conditions, measure

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "CONSUMER_WORKERS" not in os.environ,
        reason="the KCL takes minutes to move shards; run on request: CONSUMER_WORKERS=1 bin/test -k workers",
    ),
]


def test_shards_are_split_and_move_to_a_worker_that_joins_and_no_record_is_lost() -> None:
    conditions = Conditions(shards=4, seconds=2, leases={"workerMetricsReporterFreqInMillis": "1000"})
    with TemporaryDirectory() as folder:
        rows = measure(conditions, folder=Path(folder), say=lambda line: None, steps=STEPS[:3])
    started, split, joined, end = rows
    assert [row["workers"] for row in rows] == [1, 1, 2, None]
    assert [row["shards"] for row in rows] == [2, 4, 4, None]
    assert started["shards_by_worker"] == "2"
    for row in (started, split, joined):
        assert 0 < row["balanced_seconds"] <= row["running_seconds"]
        assert row["jvm_cpu_seconds_per_thousand"] > 0
        assert row["shard_pss_mib"] > 1
        assert row["jvm_threads_per_shard"] > row["shard_threads"] >= 2
    assert end["records"] > 4 * 5 * 20
    assert (end["late"], end["lost"], end["duplicated"]) == (0, 0, 0)
    machine = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
    text = report({"level": "workers", "command": "bin/bench", "runs": 1, "machine": machine, "rows": rows})
    assert "| the feed ends | – | – |" in text
