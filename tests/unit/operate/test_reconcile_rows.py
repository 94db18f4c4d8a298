"""What BigQuery is asked, and what becomes of its answers. tests/functional/test_reconcile.py runs the queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import NotFound

from consumer.daemon.prepare.preparation import Mendable, NotReady
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience
from consumer.operate.reconcile.compare import Bucket, Kind, Sum, Unequal
from consumer.operate.reconcile.rows import Rows
from consumer.operate.reconcile.spans import DAY_MS, HOUR_MS, Partition, Scope
from consumer.settings import load

NOON = 1_769_860_800_000


class FakeApi:
    """Answers what it is told to."""

    def __init__(self, *answers: list[tuple[Any, ...]] | Exception) -> None:
        self.answers = list(answers)
        self.queries: list[str] = []
        self.client = self

    def ask(self, ask: Callable[[], Any], *needs: str) -> Any:
        assert needs == ("bigquery.jobs.create", "bigquery.tables.getData")
        return ask()

    def query_and_wait(self, query: str, **once: Any) -> Any:
        self.queries.append(query)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [_Row(each) for each in answer]


class _Row:
    def __init__(self, values: tuple[Any, ...]) -> None:
        self._values = values

    def values(self) -> tuple[Any, ...]:
        return self._values


def rows_of(api: FakeApi, *, by_arrival: bool = False, zone: str = "UTC", **changes: str) -> Rows:
    own = {"bigquery.project": "project", "bigquery.dataset": "logs", "deadletter.bucket": "bucket"}
    given = {"streamName": "logs", "applicationName": "app", "bigquery.key_digits": "0", **own, **changes}
    s3 = {"streamName": "logs", "applicationName": "app", "s3.bucket": "bucket", "s3.time_zone": zone}
    scope = Scope(
        partition=Partition.of(load("s3", overrides=s3)),
        begin_ms=NOON,
        end_ms=NOON + HOUR_MS,
        arrivals=(NOON, NOON + HOUR_MS),
        by_arrival=by_arrival,
    )
    return Rows(
        load("bigquery", overrides=given),
        scope,
        parts=64,
        own_times=(NOON - 5 * DAY_MS, NOON),
        api=api,  # type: ignore[arg-type]
        patience=Patience(sleep=lambda seconds: None),
    )


def test_sums_ask_for_the_partitions_of_the_range_alone() -> None:
    api = FakeApi([("player_log", NOON // HOUR_MS, 5, 3, 17, 3)])
    assert rows_of(api).sums() == {Bucket("player_log", NOON, 5): Sum(3, 17)}
    [query] = api.queries
    assert "`time` >= TIMESTAMP '2026-01-31T12:00:00.000Z'" in query
    assert "`time` < TIMESTAMP '2026-01-31T13:00:00.000Z'" in query
    assert "_shard" not in query


def test_rows_by_arrival_are_looked_for_around_the_times_that_S3_has() -> None:
    api = FakeApi([("player_log", NOON // HOUR_MS, 5, 3, 17, 4)])
    rows = rows_of(api, by_arrival=True, **{"bigquery.metadata_columns": "true"})
    assert rows.sums() == {Bucket("player_log", NOON, 5): Sum(3, 17, doubled=1)}
    [query] = api.queries
    assert "`time` >= TIMESTAMP '2026-01-25T12:00:00.000Z'" in query
    assert "_arrived_at >= TIMESTAMP '2026-01-31T12:00:00.000Z'" in query


def test_quarters_of_an_hour_are_summed_up_in_another_zone() -> None:
    begin = NOON - 30 * 60_000
    grains = [("player_log", begin // 900_000 + quarter, 5, 1, 10, 1) for quarter in range(4)]
    rows = rows_of(FakeApi(grains), zone="Asia/Kolkata")
    assert rows.sums() == {Bucket("player_log", begin, 5): Sum(4, 40)}


def test_rows_are_asked_for_by_their_parts() -> None:
    api = FakeApi([("player_log", NOON, "a", 5, "digest")])
    one = Unequal(table="player_log", span=NOON, parts=frozenset({3, 1}), s3=1, bigquery=1, doubled=0)
    [(found, copy)] = list(rows_of(api).copies([one]))
    assert found is one
    assert copy[:4] == ("a", 5, "digest", Kind.DELIVERED)
    assert " IN (1, 3)" in api.queries[0]
    assert f"< {(NOON + HOUR_MS) * 1000}" in api.queries[0]


def test_a_table_that_is_not_there_is_refused() -> None:
    error: Exception = NotFound("gone", errors=[{"message": "Not found: Table project:logs.player_log"}])  # type: ignore[no-untyped-call]
    with pytest.raises(Refused, match=r"bigquery\.table_prefix: Not found: Table project:logs\.player_log"):
        rows_of(FakeApi(error)).sums()


def test_what_passes_is_asked_again_and_a_missing_right_is_not() -> None:
    assert rows_of(FakeApi(NotReady("503"), NotReady("503"), [])).sums() == {}
    with pytest.raises(Mendable, match="not allowed"):
        rows_of(FakeApi(Mendable("not allowed"))).sums()
