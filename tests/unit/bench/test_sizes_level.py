"""How runs with a share of the processors become rows."""

import threading
import time
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from tests.bench import sizes_level
from tests.bench.kcl import BenchError
from tests.bench.report import report
from tests.bench.sizes_group import ControlGroup, Throttling
from tests.bench.sizes_level import CASES, SizeCase, rows
from tests.bench.sizes_run import GroupSpan, SizeRun, Started, StartWatch

MACHINE = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}


def a_run(seconds: float = 10.0, cpu_seconds: float = 5.0) -> SizeRun:
    return SizeRun(
        records=250_000,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        throttling=Throttling(periods=100, throttled_periods=75, throttled_seconds=9.0),
        start=Started(seconds=12.0, cpu_seconds=3.0),
        peak_pss_bytes=2**30,
    )


def test_each_backend_is_measured_with_each_size() -> None:
    assert [case.name for case in CASES[4:8]] == [f"insert_all, {size}" for size in ("0.25", "0.5", "1", "2")]
    assert {case.name.partition(",")[0] for case in CASES} == {"s3", "insert_all", "storage_write"}


def test_a_row_is_the_run_that_carried_most() -> None:
    case = SizeCase(vcpu=0.5, child="bigquery")
    [row] = rows([case], {case: [a_run(20), a_run(10), a_run(12.5, 4)]}, shards=16, max_records=1000)
    assert row == {
        "vcpu": 0.5,
        "backend": "insert_all",
        "shards": 16,
        "max_records": 1000,
        "by": "measured",
        "records_per_second": 25_000,
        "records_per_second_of_runs": [12_500, 25_000, 20_000],
        "cpu_seconds_per_million": 20.0,
        "throttled_percent": 75,
        "start_seconds": 12.0,
        "start_cpu_seconds": 3.0,
        "peak_pss_mib": 1024,
    }


def test_a_size_that_the_machine_does_not_have_is_computed_from_the_largest_that_was_measured() -> None:
    small, large, largest = (SizeCase(vcpu=vcpu, child="s3") for vcpu in (0.5, 1.0, 2.0))
    other = SizeCase(vcpu=1.0, child="storage_write")
    done = {small: [a_run(cpu_seconds=10)], large: [a_run(cpu_seconds=5)], other: [a_run(cpu_seconds=50)]}
    *_, row = rows([small, large, largest], done, shards=16, max_records=1000)
    assert (row["by"], row["records_per_second"], row["cpu_seconds_per_million"]) == (
        "computed",
        100_000,
        20.0,
    )
    assert {row["throttled_percent"], row["start_seconds"], row["peak_pss_mib"]} == {None}


def test_a_size_without_a_smaller_one_is_left_out() -> None:
    assert rows([SizeCase(vcpu=2.0, child="s3")], {}, shards=16, max_records=1000) == []


def test_the_result_becomes_a_table() -> None:
    case = SizeCase(vcpu=0.25, child="s3")
    made = rows([case, SizeCase(vcpu=2.0, child="s3")], {case: [a_run()]}, shards=16, max_records=1000)
    text = report(
        {"level": "sizes", "command": "bin/bench sizes", "runs": 1, "machine": MACHINE, "rows": made}
    )
    assert "| 0.25 | s3 | 16 | measured | 25,000 | 20.0 | 75 | 12.0 | 3.0 | 1,024 |" in text
    assert "| 2.0 | s3 | 16 | computed | 100,000 | 20.0 | – | – | – | – |" in text


def test_shards_without_a_record_to_warm_up_with_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="31 records are too few for 16 shards"):
        sizes_level.measure(
            CASES, shards=16, records=31, max_records=1000, runs=1, folder=tmp_path, say=lambda _: None
        )


def test_a_span_is_what_its_group_took_between_begin_and_end() -> None:
    group = create_autospec(ControlGroup, instance=True)
    group.cpu_seconds.side_effect = [3.0, 8.0]
    group.throttling.side_effect = [Throttling(10, 5, 1.0), Throttling(110, 80, 9.0)]
    span = GroupSpan(group)
    span.begin(1)
    span.end(1)
    assert (span.cpu_seconds, span.throttling) == (5.0, Throttling(100, 75, 8.0))


def test_a_start_is_over_when_every_shard_was_asked_for() -> None:
    group = create_autospec(ControlGroup, instance=True)
    seen = threading.Event()

    def cpu_seconds() -> float:
        seen.set()
        return 3.0

    group.cpu_seconds.side_effect = cpu_seconds
    answers = iter([False, True])
    began = time.perf_counter()
    with StartWatch(lambda: next(answers), group) as watch:
        assert seen.wait(60)
    assert watch.started.cpu_seconds == 3.0
    assert 0 < watch.started.seconds <= time.perf_counter() - began


def test_a_run_that_ends_before_its_start_is_over_tells_of_none() -> None:
    group = create_autospec(ControlGroup, instance=True)
    with StartWatch(lambda: False, group) as watch:
        pass
    assert watch.started == Started(0.0, 0.0)
