"""The bench measures real processes, and is void when a record is lost."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import flat_level, fork_level
from tests.bench.backend import Backend, discarding
from tests.bench.cases import Case, Target, cases
from tests.bench.counts import Behaviour
from tests.bench.host_memory import APART_MIB, FORKED_MIB, SERVER_MIB
from tests.bench.inputs import Input, Line, number_sum
from tests.bench.kcl import BenchError
from tests.bench.report import report
from tests.bench.shard_level import check_arrived, measure, run, start

CASES = [
    case
    for case in cases(400)
    if case.input.record_bytes == 700
    and case.name
    in (
        "gzip NDJSON",
        "row=log",
        "storage_write, row=log",
        "storage_write, row=fields",
        "storage_write, row=fields, overflow",
        "storage_write, row=log, 1,000 arrivals/s, gRPC's own gevent",
        "plain amazon_kclpy",
    )
]
SHARD_PROCESSES = [case for case in CASES if case.is_shard_process]


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    with discarding(tmp_path) as discarding_backend:
        yield discarding_backend


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.backend}, {case.name}")
def test_every_record_arrives_and_the_child_is_measured(case: Case, backend: Backend, tmp_path: Path) -> None:
    done = run(case, backend, tmp_path)
    assert backend.arrived().records == case.input.count
    assert done.cost.start_cpu_seconds > 0
    assert done.cost.peak_rss_bytes >= done.cost.peak_pss_bytes > 0


def test_a_run_that_loses_its_records_is_void(backend: Backend, tmp_path: Path) -> None:
    acknowledging = replace(cases(400)[-1], delivers=True)
    with pytest.raises(BenchError, match="0 of 400 records arrived"):
        run(acknowledging, backend, tmp_path)


class Lost(Input):
    """The last of 400 records is told of, and not given."""

    def lines(self) -> Iterator[Line]:
        for line in Input(record_bytes=700, count=399).lines():
            yield replace(line, records=400, number_sum=number_sum(400))


class Doubled(Input):
    """The message is given twice, and told of once."""

    def lines(self) -> Iterator[Line]:
        for line in super().lines():
            yield line
            yield replace(line, records=0, number_sum=0)


@pytest.mark.parametrize("case", SHARD_PROCESSES, ids=lambda case: f"{case.backend}, {case.name}")
def test_a_run_that_loses_or_doubles_a_record_is_void(case: Case, backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="399 of 400 records arrived"):
        run(replace(case, input=Lost(record_bytes=700, count=400)), backend, tmp_path)
    with pytest.raises(BenchError, match="800 of 400 records arrived"):
        run(replace(case, input=Doubled(record_bytes=700, count=400)), backend, tmp_path)


def test_a_child_that_fails_ends_the_run(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="No module named no_such_module"):
        run(replace(cases(400)[0], program=("no_such_module",)), backend, tmp_path)


def test_an_outage_is_told_and_loses_nothing(backend: Backend, tmp_path: Path) -> None:
    [case] = [case for case in CASES if case.name == "storage_write, row=log"]
    backend.behave(Behaviour(outage=True, latency_seconds=0.01))
    [line] = case.input.lines()
    with start(case, backend, tmp_path) as child:
        child.initialize()
        child.call(line.text)
        ending = threading.Thread(target=child.end_shard)
        ending.start()
        while backend.arrived().refused < 3:
            time.sleep(0.01)
        backend.behave()
        ending.join()
        child.close()
    check_arrived(case, backend, line.number_sum)


def test_the_result_becomes_a_table(tmp_path: Path) -> None:
    rows = measure([cases(400)[-1]], runs=2, folder=tmp_path, say=lambda line: None)
    machine = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
    text = report({"level": "shard", "command": "bin/bench", "runs": 2, "machine": machine, "rows": rows})
    assert len(rows[0]["cpu_seconds_per_million_of_runs"]) == 2
    assert "| none | only acknowledges | 700 | " in text


def test_the_cost_of_each_tenth_is_told(tmp_path: Path) -> None:
    targets: list[Target] = ["s3", "bigquery"]
    rows = flat_level.measure(targets, 40_000, runs=2, folder=tmp_path, say=lambda line: None)
    assert [row["records"] for row in rows if row["backend"] == "s3"] == [*range(4_000, 40_001, 4_000)]
    assert {row["backend"] for row in rows} == set(targets)
    for row in rows:
        costs = row["cpu_seconds_per_million_of_runs"]
        assert len(costs) == 2
        assert row["cpu_seconds_per_million"] == min(costs)
        ratios = row["by_second_of_runs"]
        assert (ratios is None) == (row["records"] < 40_000)
        assert ratios is None or (len(ratios) == 2 and min(ratios) <= row["by_second"] <= max(ratios))


def test_shard_processes_take_what_the_sum_for_a_host_says_and_half_of_it_at_least(tmp_path: Path) -> None:
    said = {"forked": FORKED_MIB, "apart": APART_MIB}
    rows = fork_level.measure((4,), 400, folder=tmp_path, say=lambda line: None)
    assert {(row["backend"], row["start"]) for row in rows} == {
        (backend, start) for backend in ("s3", "bigquery") for start in said
    }
    for how, each_mib in said.items():
        server_mib = SERVER_MIB if how == "forked" else 0
        bound = server_mib + 4 * each_mib
        here = [row for row in rows if row["start"] == how]
        assert max(row["server_mib"] for row in here) <= server_mib
        # one sum for both backends; tests that run beside this one take their part of what is mapped by all
        assert (
            max(row["total_pss_mib"] for row in here)
            <= bound
            <= 2.2 * max(row["total_pss_mib"] for row in here)
        )
