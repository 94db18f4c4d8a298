"""The systems that the daemon replaces are really run, and what they lose or fail is counted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.backend import Backend, discarding
from tests.bench.cases import Case
from tests.bench.kcl import BenchError
from tests.bench.originals_level import TABLE_PER_PLAYER, Conditions, measure, run, systems
from tests.bench.originals_table import figures
from tests.bench.report import report

CONDITIONS = Conditions(delay_ms=1, seconds=600, batch=20, players=3, new_table_seconds=0)
SYSTEMS = systems(60)
PER_PLAYER = next(case for case in SYSTEMS if case.name == TABLE_PER_PLAYER)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    with discarding(tmp_path) as discarding_backend:
        yield discarding_backend


@pytest.mark.parametrize("case", SYSTEMS, ids=lambda case: f"{case.backend}, {case.name}")
def test_every_system_delivers_every_record_once(case: Case, backend: Backend, tmp_path: Path) -> None:
    done = run(case, CONDITIONS, backend, tmp_path)
    row = figures(done)
    assert (row["records"], row["surplus_rows"], row["batches"]) == (60, 0, 3)
    assert (row["error_rate_percent"], row["ended_by"]) == (0.0, "records")
    if case == PER_PLAYER:
        assert (
            done.requests == 9 + 5
        )  # an insert for each of three players in three batches, five of them new


def test_a_table_just_created_fails_its_batch(backend: Backend, tmp_path: Path) -> None:
    soon = replace(CONDITIONS, seconds=0, new_table_seconds=3600)
    row = figures(run(PER_PLAYER, soon, backend, tmp_path))
    assert (row["error_rate_percent"], row["records"], row["ended_by"]) == (100.0, 0, "time")
    assert backend.arrived().refused == 3


def test_a_system_that_loses_a_record_voids_the_run(backend: Backend, tmp_path: Path) -> None:
    losing = replace(PER_PLAYER, program=("tests.bench.programs.acknowledge",))
    with pytest.raises(BenchError, match="record 1 of 60 did not arrive"):
        run(losing, CONDITIONS, backend, tmp_path)


def test_the_result_becomes_a_table(tmp_path: Path) -> None:
    rows = measure([PER_PLAYER], CONDITIONS, runs=2, folder=tmp_path, say=lambda line: None)
    machine = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
    text = report({"level": "originals", "command": "bin/bench", "runs": 2, "machine": machine, "rows": rows})
    assert f"| bigquery | {TABLE_PER_PLAYER} | 1 | " in text
