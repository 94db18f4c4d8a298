"""Which shard processes are given which hostile records, and how faults end the bench."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.bench import command, memory_level
from tests.bench.backend import Backend
from tests.bench.hostile_cases import HostileCase, hostile_cases, usual_hostile_cases
from tests.bench.hostile_level import loads
from tests.bench.report import report
from tests.hostile.kinds import KINDS

CASES = {case.name: case for case in hostile_cases()}
ROW = {
    "case": "s3, native",
    "kind": "half-surrogate",
    "record_bytes": 10_485_760,
    "outcomes": {"delivered": 3},
    "peak_rss_mib": 104.1,
    "shared_mib": 0.0,
    "peak_pss_mib": 80.2,
    "allowed_mib": 136,
    "cpu_seconds_per_mb": 0.01,
}


def names(case: str, pattern: str, *sizes: Any) -> list[str]:
    return [load.name for load in loads(CASES[case], pattern, sizes)]


def test_every_method_row_shape_and_number_of_tables_is_there_with_the_c_library_and_without(
    tmp_path: Path,
) -> None:
    assert len(CASES) == len(hostile_cases()) == 2 * (2 + 3 * 7 * 2)
    backend = Backend("http://127.0.0.1:1", "http://127.0.0.1:2")
    for case in CASES.values():
        settings = case.settings_at(backend, tmp_path)
        assert settings.flag("shard.native") is case.name.endswith("native")
        assert settings["deadletter.max_ratio"] == 1
        if case.shape.backend == "bigquery":
            assert settings.integer("bigquery.key_digits") == case.shape.key_digits
            assert (settings.text("bigquery.row") == "fields") is case.shape.fields
            assert settings.flag("bigquery.metadata_columns") is case.metadata


def test_the_usual_cases_are_those_of_the_other_levels_and_load() -> None:
    assert list(usual_hostile_cases()) == ["s3", "bigquery", "load", "storage_write"]


def test_small_kinds_come_together_and_large_ones_alone() -> None:
    assert names("s3, native", "^half-surr", "small") == ["all"]
    assert names("s3, native", "^half-surrogate$", "small", "large") == ["all", "half-surrogate"]
    assert names("s3, native", "half a million", "small", "large") == ["half a million records"]
    assert len(names("s3, native", "", "large")) == len(KINDS) + 1


def test_with_one_table_large_records_are_those_whose_key_chooses_none() -> None:
    large = names("load, log, 0 digits, native", "", "large")
    assert {"key-array", "key-missing"} <= set(large)
    assert not {"arrays-501", "half a million records"} & set(large)


def test_rows_become_a_table() -> None:
    machine = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
    rows = [{**ROW, "faults": []}, {**ROW, "peak_rss_mib": None, "faults": ["one", "other"]}]
    text = report({"level": "hostile", "command": "bin/bench", "runs": 1, "machine": machine, "rows": rows})
    begin = "| s3, native | half-surrogate | 10,485,760 | delivered 3 |"
    assert f"{begin} 104.1 | 136 | 0.01 | – |" in text
    assert f"{begin} – | 136 | 0.01 | one; other |" in text


@pytest.mark.parametrize(("faults", "code"), [(["a good record: lost"], 1), ([], 0)])
def test_the_bench_fails_where_a_row_has_faults_and_prints_all_the_same(
    faults: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(command.LEVELS, "hostile", lambda *_: [{**ROW, "faults": faults}])
    assert command.bench_main(["hostile", "--json"]) == code
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rows"][0]["faults"] == faults
    assert ("1 of 1 rows have faults" in printed.err) is bool(faults)


def test_the_memory_level_has_a_row_for_each_target_and_hostile_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def measure(cases: Sequence[HostileCase], *, pattern: str, **_: Any) -> list[dict[str, Any]]:
        asked.extend((case.name, pattern) for case in cases)
        return [{**ROW, "faults": []}]

    monkeypatch.setattr("tests.bench.hostile_level.measure", measure)
    rows = memory_level.measure_hostile("half", folder=tmp_path, say=lambda line: None)
    assert asked == [(case.name, "half") for case in usual_hostile_cases().values()]
    assert [row["backend"] for row in rows] == list(usual_hostile_cases())
    machine = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
    text = report({"level": "memory", "command": "bin/bench", "runs": 1, "machine": machine, "rows": rows})
    assert "| load | forked | hostile: half-surrogate | 104.1 | 80.2 | 136 |" in text
