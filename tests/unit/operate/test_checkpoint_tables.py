"""Writes to the lease table and to the row counts: none takes what a worker has written meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from consumer.operate.checkpoint import tables
from consumer.operate.checkpoint.places import START, Place
from consumer.operate.checkpoint.plan import LeaseChange, Row, moved, new_row
from consumer.operate.checkpoint.tables import Counts, Tables
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience
from consumer.operate.stream import Shard
from consumer.settings import Settings, load

LEASES, COUNTS = "app", "app-BigQueryStreams"
A = Shard(id="a", parents=frozenset(), is_open=True, hash_keys=("0", "9"))
ROW = {**new_row(A, Place("17")), "leaseOwner": {"S": "gone"}, "leaseCounter": {"N": "5"}}


def settings() -> Settings:
    return load(
        "bigquery",
        overrides={
            "applicationName": "app",
            "streamName": "logs",
            "bigquery.project": "project",
            "bigquery.dataset": "dataset",
            "deadletter.bucket": "bucket",
            "bigquery.method": "storage_write",
            "failoverTimeMillis": "10000",
        },
    )


class FakeDynamo:
    """Items by table and key; the conditions that Tables uses. `meanwhile` runs before the first write, and
    `loses_answer` makes that write and answers nothing."""

    def __init__(self) -> None:
        self.leases: dict[str, Row] = {"a": ROW}
        self.counts: dict[str, dict[str, Any]] = {"a": {"generation": {"N": "3"}, "state": {"S": "a mark"}}}
        self.meanwhile: Callable[[], None] = lambda: None
        self.loses_answer = False

    def put_item(self, *, Item: Row, **request: Any) -> dict[str, Any]:  # noqa: N803
        return self._write(Item["leaseKey"]["S"], Item, request)

    def delete_item(self, *, Key: Row, **request: Any) -> dict[str, Any]:  # noqa: N803
        return self._write(Key["leaseKey"]["S"], None, request)

    def get_item(self, *, TableName: str, Key: Row, ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803
        assert ConsistentRead
        found = (
            self.leases.get(Key["leaseKey"]["S"])
            if TableName == LEASES
            else self.counts.get(Key["shard"]["S"])
        )
        return {} if found is None else {"Item": found}

    def update_item(self, **request: Any) -> dict[str, Any]:
        self._begin()
        assert request["TableName"] == COUNTS
        assert request["Key"] == {"shard": {"S": "a"}, "item": {"S": "state"}}
        item, values = self.counts["a"], request["ExpressionAttributeValues"]
        if item["generation"] != values[":seen"]:
            raise unmet()
        item["generation"] = {"N": str(int(item["generation"]["N"]) + 1)}
        if request["UpdateExpression"].startswith("REMOVE #state"):
            item.pop("state", None)
        else:
            item["state"] = values[":state"]
        return self._answer()

    def _write(self, key: str, row: Row | None, request: dict[str, Any]) -> dict[str, Any]:
        self._begin()
        present = self.leases.get(key)
        if request["ConditionExpression"] == "leaseCounter = :seen":
            seen = request["ExpressionAttributeValues"][":seen"]
            met = present is not None and present["leaseCounter"] == seen
        else:
            met = present is None
        if not met:
            raise unmet()
        if row is None:
            del self.leases[key]
        else:
            self.leases[key] = row
        return self._answer()

    def _begin(self) -> None:
        self.meanwhile()
        self.meanwhile = lambda: None

    def _answer(self) -> dict[str, Any]:
        if self.loses_answer:
            self.loses_answer = False
            raise ReadTimeoutError(endpoint_url="http://dynamodb")
        return {}

    def take(self) -> None:
        """A worker takes the lease."""
        counter = int(self.leases["a"]["leaseCounter"]["N"]) + 1
        self.leases["a"] = {
            **self.leases["a"],
            "leaseOwner": {"S": "new"},
            "leaseCounter": {"N": str(counter)},
        }


def unmet() -> ClientError:
    return ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem")


@pytest.fixture
def dynamo(monkeypatch: pytest.MonkeyPatch) -> FakeDynamo:
    fake = FakeDynamo()
    monkeypatch.setattr(tables, "client", lambda service: fake)
    monkeypatch.setattr(tables, "lease_row_reader", lambda settings: lambda: list(fake.leases.values()))
    return fake


def opened() -> Tables:
    return Tables(settings(), Patience(sleep=lambda seconds: None))


CHANGES = {
    "moved": LeaseChange("a", ROW, moved(ROW, START)),
    "removed": LeaseChange("a", ROW, None),
    "made": LeaseChange("b", None, {**new_row(A, START), "leaseKey": {"S": "b"}}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("loses_answer", [False, True])
def test_a_row_is_written_once_also_where_the_answer_is_lost(
    dynamo: FakeDynamo, change: LeaseChange, loses_answer: bool
) -> None:
    dynamo.loses_answer = loses_answer
    opened().write(change)
    assert dynamo.leases.get(change.shard) == change.after


@pytest.mark.parametrize("change", [CHANGES["moved"], CHANGES["removed"]], ids=["moved", "removed"])
def test_a_worker_that_takes_the_lease_in_between_keeps_it(dynamo: FakeDynamo, change: LeaseChange) -> None:
    dynamo.meanwhile = dynamo.take
    with pytest.raises(Refused, match="worker new holds the lease of a"):
        opened().write(change)
    assert dynamo.leases["a"]["checkpoint"] == {"S": "17"}


def test_a_lease_that_somebody_makes_in_between_is_kept(dynamo: FakeDynamo) -> None:
    made = {**new_row(A, Place("5")), "leaseKey": {"S": "b"}}
    dynamo.meanwhile = lambda: dynamo.leases.update(b=made)
    with pytest.raises(Refused, match="a worker has changed the lease of b"):
        opened().write(CHANGES["made"])
    assert dynamo.leases["b"] == made


def test_counts_are_removed_and_put_back_each_under_a_new_generation(dynamo: FakeDynamo) -> None:
    dynamo.loses_answer = True
    before = Counts("a", 3, "a mark")
    found = opened()
    assert found.counts(["a", "never counted"]) == [before]
    found.put_counts(before, None)
    assert dynamo.counts["a"] == {"generation": {"N": "4"}}
    found.put_counts(Counts("a", 4, None), "a mark")
    assert dynamo.counts["a"] == {"generation": {"N": "5"}, "state": {"S": "a mark"}}


def test_counts_of_a_new_owner_are_kept(dynamo: FakeDynamo) -> None:
    theirs = {"generation": {"N": "4"}, "state": {"S": "their mark"}}
    dynamo.meanwhile = lambda: dynamo.counts.update(a=dict(theirs))
    with pytest.raises(Refused, match="the lease of a"):
        opened().put_counts(Counts("a", 3, "a mark"), None)
    assert dynamo.counts["a"] == theirs


def watched(dynamo: FakeDynamo, after_looks: int | None) -> tuple[float, str | None]:
    """How long it watched, and what it refused; a worker comes after so many looks."""
    now, looks = 0.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now, looks
        now += seconds
        looks += 1
        if looks == after_looks:
            dynamo.take()

    found = opened()
    try:
        found.refuse_while_renewed(found.rows(), monotonic=lambda: now, sleep=sleep)
    except Refused as refused:
        return now, str(refused)
    return now, None


def test_leases_are_watched_for_longer_than_a_worker_may_leave_them(dynamo: FakeDynamo) -> None:
    assert watched(dynamo, None) == (15.0, None)


def test_a_lease_that_is_renewed_is_seen_at_once(dynamo: FakeDynamo) -> None:
    seconds, refused = watched(dynamo, 4)
    assert seconds == 2.0
    assert refused is not None
    assert refused.startswith(
        "worker new holds the lease of a. Positions are moved only while no worker runs"
    )


def test_a_lease_that_goes_or_comes_is_seen_as_well(dynamo: FakeDynamo) -> None:
    found = opened()
    rows = found.rows()
    dynamo.leases["b"] = {**ROW, "leaseKey": {"S": "b"}}
    with pytest.raises(Refused, match="lease of b"):
        found.refuse_while_renewed(rows, monotonic=lambda: 0.0, sleep=lambda seconds: None)
