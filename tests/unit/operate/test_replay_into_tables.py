"""What a replay into BigQuery's tables refuses, because rows would come twice."""

from __future__ import annotations

import argparse
import io
from datetime import UTC, datetime

import pytest

from consumer.daemon.prepare.distances import Distance
from consumer.daemon.report.leases import SHARD_END, Lease
from consumer.domain.errors import SetupError, TransientError
from consumer.operate import patience
from consumer.operate.action import Action, Console
from consumer.operate.errors import Refused
from consumer.operate.replay import into_tables
from consumer.operate.replay.into_tables import refuse_doubling
from consumer.settings import Settings, load
from consumer.sinks.bigquery.api.connection import HttpConnection

TO_MS = 1_769_860_800_000
"""2026-01-31T12:00Z."""
COMMON = {
    "streamName": "player-logs",
    "regionName": "eu-west-1",
    "bigquery.project": "project",
    "bigquery.dataset": "logs",
    "bigquery.key_digits": "1",
    "deadletter.bucket": "bucket",
    "bigquery.metadata_columns": "true",
}


def settings_of(**changes: str) -> Settings:
    return load("bigquery", overrides={**COMMON, **changes})


class FakeQueries:
    """Of how many rows there are, by table; `fault` is raised instead."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.fault: Exception | None = None
        self.asked: list[str] = []

    def rows(self, table: str, sql: str, texts: dict[str, str]) -> list[tuple[str]]:
        self.asked.append(table)
        assert sql == f"SELECT COUNT(*) FROM `project.logs.{table}`"
        if self.fault is not None:
            raise self.fault
        return [(str(self.counts.get(table, 0)),)]


class World:
    """Leases, where the records behind them lie, and rows of tables."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.leases = [lease("a"), lease("b")]
        self.distances = {"a": Distance(), "b": Distance()}
        self.queries = FakeQueries()
        monkeypatch.setattr(into_tables, "lease_reader", lambda settings: lambda: self.leases)
        monkeypatch.setattr(into_tables, "distance_reader", lambda settings: lambda leases: self.distances)
        monkeypatch.setattr(into_tables, "queries_of", lambda settings, connection: self.queries)
        monkeypatch.setattr(HttpConnection, "of", lambda settings: None)
        monkeypatch.setattr(patience, "UNANSWERED_SECONDS", 0)

    def refuse(
        self,
        own: dict[str, str] | None = None,
        *,
        into: dict[str, str] | None = None,
        rows_are_gone: bool = False,
    ) -> None:
        """`own` are settings of the application, `into` of the replay alone."""
        own = own or {}
        settings = settings_of(**own)
        action = Action(
            command="replay",
            options=argparse.Namespace(rows_are_gone=rows_are_gone),
            settings=settings,
            s3=None,
            console=Console(io.StringIO()),
            now=datetime(2026, 1, 31, 13, tzinfo=UTC),
        )
        refuse_doubling(action, settings_of(**{**own, **(into or {})}), TO_MS)


def lease(shard: str, *, ended: bool = False) -> Lease:
    return Lease(
        shard=shard, owner="w", counter=1, checkpoint=SHARD_END if ended else "7", parents=frozenset()
    )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_what_both_have_behind_them_may_come(world: World) -> None:
    for shard, distance in (
        ("a", Distance(next_arrived_at=TO_MS / 1000)),
        ("b", Distance(behind_latest_seconds=0.0)),
    ):
        world.distances[shard] = distance
    world.refuse()
    assert world.queries.asked == []  # each request asks for its own rows


def test_what_the_application_delivers_itself_is_left_to_it(world: World) -> None:
    """It does not look for what a replay has written; into tables of its own a replay may write it."""
    world.distances["b"] = Distance(next_arrived_at=(TO_MS - 1) / 1000)
    with pytest.raises(Refused) as refused:
        world.refuse({"applicationName": "app"})
    assert str(refused.value).startswith(
        "app itself has still to deliver b from 2026-01-31T11:59:59Z on, into the same tables"
    )
    world.refuse(into={"bigquery.dataset": "mended"})


def test_how_far_it_is_has_to_be_known(world: World) -> None:
    world.distances["a"] = Distance(fault="GetShardIterator: AccessDeniedException")
    with pytest.raises(
        Refused, match="has delivered a is not known: GetShardIterator: AccessDeniedException"
    ):
        world.refuse()
    world.leases[0] = lease("a", ended=True)
    world.refuse()


PLAIN = {"bigquery.metadata_columns": "false"}


def test_rows_that_nothing_tells_apart_are_not_added_to_others(world: World) -> None:
    world.refuse(PLAIN)
    assert len(world.queries.asked) == 16
    world.queries.counts["player_log_7"] = 1_234
    with pytest.raises(Refused, match="player_log_7 holds 1,234 rows, and without"):
        world.refuse(PLAIN)
    world.refuse(PLAIN, rows_are_gone=True)


def test_tables_that_are_not_there_hold_no_row(world: World) -> None:
    world.queries.fault = SetupError("player_log_0: 404 notFound", setting="bigquery.dataset")
    world.refuse(PLAIN)


@pytest.mark.parametrize(
    "fault", [SetupError("403 accessDenied", setting="bigquery.dataset"), TransientError("503")]
)
def test_rows_that_cannot_be_counted_are_not_taken_for_none(world: World, fault: Exception) -> None:
    world.queries.fault = fault
    with pytest.raises(Refused, match="what the tables hold is not known: ") as refused:
        world.refuse(PLAIN)
    assert str(fault) in str(refused.value)
