"""Shards and tables against Google's quotas of streams and connections."""

import pytest

from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.prepare.stream_quotas import check_quotas, stream_quota_checks
from consumer.settings import Settings, load

PLACES = {
    "bigquery.project": "project",
    "bigquery.dataset": "dataset",
    "deadletter.bucket": "bucket",
}


def settings(**changes: str) -> Settings:
    chosen = {f"bigquery.{name}": value for name, value in changes.items()}
    return load("bigquery", overrides=PLACES | chosen)


def test_what_all_shards_need_is_one_line() -> None:
    line = check_quotas(8, 16, "US")
    assert "8 shards by 16 tables make 128 streams" in line
    assert "20000 connections in US" in line
    assert "room for 78 starts of all shards an hour" in line


@pytest.mark.parametrize(
    ("shards", "tables", "location", "fits"),
    [
        (312, 16, "europe-west1", True),
        (313, 16, "europe-west1", False),
        (19, 256, "us-east4", True),
        (20, 256, "us-east4", False),
        (39, 256, "eu", True),
        (40, 256, "eu", False),
        (5000, 1, "us-east4", True),
        (0, 16, "US", True),
        (None, 256, "US", True),
    ],
)
def test_a_quota_that_is_passed_is_a_fault(
    shards: int | None, tables: int, location: str, fits: bool
) -> None:
    if fits:
        assert location in check_quotas(shards, tables, location)
    else:
        with pytest.raises(Unusable, match=r"bigquery\.key_digits: .* have fewer tables"):
            check_quotas(shards, tables, location)


def test_it_is_asked_with_the_settings_tables() -> None:
    [check] = stream_quota_checks(settings(method="storage_write", key_digits="2"), lambda: 2)
    assert "2 shards by 256 tables make 512 streams" in check.step()


@pytest.mark.parametrize("method", ["insert_all", "load"])
def test_the_other_methods_have_no_streams(method: str) -> None:
    assert stream_quota_checks(settings(method=method), lambda: 1_000_000) == []


@pytest.mark.parametrize(
    ("method", "digits", "warned"),
    [("storage_write", "2", True), ("storage_write", "1", False), ("insert_all", "2", False)],
)
def test_many_streams_a_shard_are_warned_of(method: str, digits: str, warned: bool) -> None:
    found = settings(method=method, key_digits=digits).warnings
    assert any("256 streams for each shard" in finding.message for finding in found) is warned
