"""What is measured, and with which settings."""

from pathlib import Path

import pytest

from tests.bench.backend import Backend
from tests.bench.cases import SIZES, TARGETS, Target, cases, settings_of, usual_case, usual_cases

BACKEND = Backend("http://127.0.0.1:1", "http://127.0.0.1:2")


@pytest.mark.parametrize("target", TARGETS)
def test_the_usual_format_of_every_target_is_measured_by_size(target: Target) -> None:
    usual = usual_case(target, 700)
    sizes = [case.input.record_bytes for case in cases(400_000) if case.name == usual.name]
    assert tuple(sizes) == SIZES


def test_a_backend_is_measured_in_its_default_way() -> None:
    assert [case.name for case in usual_cases(700)] == ["gzip NDJSON", "row=log"]


def test_rows_go_to_the_backend_by_either_method(tmp_path: Path) -> None:
    made = {target: settings_of(usual_case(target, 700), BACKEND, tmp_path) for target in TARGETS}
    assert made["bigquery"].text("bigquery.method") == "insert_all"
    assert made["bigquery"].text("bigquery.api_endpoint") == BACKEND.url
    assert made["storage_write"].text("bigquery.method") == "storage_write"
    assert made["storage_write"].text("bigquery.storage_endpoint") == BACKEND.grpc_url


def test_no_run_goes_on_where_another_has_ended(tmp_path: Path) -> None:
    case = usual_case("storage_write", 700)
    tables = {
        settings_of(case, BACKEND, tmp_path).text("bigquery.positions_table"),
        settings_of(case, BACKEND, tmp_path).text("bigquery.positions_table"),
    }
    assert len(tables) == 2
