"""The KCL's tables of a replay: made once, whatever interrupts that, and gone at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from consumer.daemon.prepare.preparation import Mendable, NotReady, Unreachable
from consumer.operate.patience import Patience
from consumer.operate.replay import tables as module
from consumer.operate.replay.tables import FirstLease, ReplayTables
from consumer.settings import load
from tests.unit.operate.fake_kinesis import refusal

SETTINGS = {
    "streamName": "player-logs",
    "applicationName": "app-replay-1",
    "s3.bucket": "bucket",
    "regionName": "eu-west-1",
}
KEYS = {
    "app-replay-1": "leaseKey",
    "app-replay-1-WorkerMetricStats": "wid",
    "app-replay-1-CoordinatorState": "key",
}
LEASES = [
    FirstLease(
        shard="a", checkpoint="7", sub_sequence_number=-1, parents=frozenset({"p", "o"}), hash_keys=("0", "9")
    ),
    FirstLease(shard="b", checkpoint="TRIM_HORIZON", hash_keys=("10", "19")),
]


class Killed(BaseException):
    """The process ends at this moment."""


class FakeDynamo:
    """Tables of one key; `before` is called with each request and may raise."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.before: Callable[[str], None] = lambda operation: None

    def items(self, table: str) -> dict[str, Any]:
        if table not in self.tables:
            raise refusal("ResourceNotFoundException")
        return self.tables[table]

    def put_item(self, *, TableName: str, Item: dict[str, Any], ConditionExpression: str = "") -> None:  # noqa: N803
        self._begin("put_item")
        key = Item[KEYS[TableName]]["S"]
        items = self.items(TableName)
        if key in items and ConditionExpression == f"attribute_not_exists({KEYS[TableName]})":
            raise refusal("ConditionalCheckFailedException")
        items[key] = Item

    def get_item(self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:  # noqa: N803
        self._begin("get_item")
        assert ConsistentRead
        found = self.items(TableName).get(Key[KEYS[TableName]]["S"])
        return {} if found is None else {"Item": found}

    def delete_table(self, *, TableName: str) -> None:  # noqa: N803
        self._begin("delete_table")
        self.items(TableName)
        del self.tables[TableName]

    def _begin(self, operation: str) -> None:
        self.requests.append(operation)
        self.before(operation)


@pytest.fixture
def dynamo(monkeypatch: pytest.MonkeyPatch) -> FakeDynamo:
    fake = FakeDynamo()
    monkeypatch.setattr(module, "client", lambda service: fake)
    steps = [lambda name=name: fake.tables.setdefault(name, {}) for name in KEYS]
    monkeypatch.setattr(module, "kcl_table_steps", lambda settings: steps)
    return fake


def opened() -> ReplayTables:
    waited = [0.0]

    def sleep(seconds: float) -> None:
        waited[0] += seconds

    patience = Patience(sleep=sleep, monotonic=lambda: waited[0])
    return ReplayTables(load("s3", overrides=SETTINGS), patience, sleep=sleep, monotonic=lambda: waited[0])


def test_leases_are_as_the_kcl_makes_them(dynamo: FakeDynamo) -> None:
    tables = opened()
    assert tables.begun() is None
    tables.begin(LEASES, "the plan")
    assert tables.begun() == "the plan"
    common = {"leaseCounter": {"N": "0"}, "ownerSwitchesSinceCheckpoint": {"N": "0"}}
    assert dynamo.tables["app-replay-1"] == {
        "a": {
            **common,
            "leaseKey": {"S": "a"},
            "checkpoint": {"S": "7"},
            "checkpointSubSequenceNumber": {"N": "-1"},
            "startingHashKey": {"S": "0"},
            "endingHashKey": {"S": "9"},
            "parentShardId": {"SS": ["o", "p"]},
        },
        "b": {
            **common,
            "leaseKey": {"S": "b"},
            "checkpoint": {"S": "TRIM_HORIZON"},
            "checkpointSubSequenceNumber": {"N": "0"},
            "startingHashKey": {"S": "10"},
            "endingHashKey": {"S": "19"},
        },
    }
    tables.delete()
    assert dynamo.tables == {}
    assert tables.begun() is None
    tables.delete()  # what is gone already is no fault


@pytest.mark.parametrize("at", range(1, 5))
def test_killed_at_any_request_it_has_not_begun_and_is_repeated(dynamo: FakeDynamo, at: int) -> None:
    """The plan is what says that all leases are there, so it comes last."""

    def kill(operation: str) -> None:
        if len(dynamo.requests) == at:
            raise Killed

    dynamo.before = kill
    if at < 4:
        with pytest.raises(Killed):
            opened().begin(LEASES, "the plan")
    dynamo.before = lambda operation: None
    assert opened().begun() is None
    if "app-replay-1" in dynamo.tables:  # a lease that somebody has by now keeps what it has become
        dynamo.tables["app-replay-1"].update({"a": {"leaseKey": {"S": "a"}, "leaseOwner": {"S": "w"}}})
    opened().begin(LEASES, "the plan")
    assert opened().begun() == "the plan"
    assert sorted(dynamo.tables["app-replay-1"]) == ["a", "b"]
    assert at == 4 or "leaseOwner" in dynamo.tables["app-replay-1"]["a"]


def test_deleted_halfway_it_does_not_go_on_without_its_leases(dynamo: FakeDynamo) -> None:
    """The KCL would begin each shard at its first record."""
    opened().begin(LEASES, "the plan")

    def kill(operation: str) -> None:
        if dynamo.requests.count("delete_table") == 2:
            raise Killed

    dynamo.before = kill
    with pytest.raises(Killed):
        opened().delete()
    dynamo.before = lambda operation: None
    assert "app-replay-1" in dynamo.tables
    assert opened().begun() is None


def test_tables_that_are_being_made_are_waited_for(
    dynamo: FakeDynamo, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [NotReady("being made")] * 5

    def step() -> None:
        if answers:
            raise answers.pop()
        dynamo.tables.update({name: {} for name in KEYS})

    monkeypatch.setattr(module, "kcl_table_steps", lambda settings: [step])
    opened().begin(LEASES, "the plan")
    assert opened().begun() == "the plan"
    answers += [NotReady("being made")] * 1000
    with pytest.raises(NotReady, match="being made"):
        opened().begin(LEASES, "the plan")


def test_what_is_throttled_is_asked_again(dynamo: FakeDynamo) -> None:
    faults = [refusal("ThrottlingException"), refusal("ProvisionedThroughputExceededException")]

    def throttle(operation: str) -> None:
        if operation == "put_item" and faults:
            raise faults.pop()

    dynamo.before = throttle
    opened().begin(LEASES, "the plan")
    assert dynamo.requests == ["put_item"] * 5


def test_what_is_refused_is_told_in_a_line(dynamo: FakeDynamo) -> None:
    dynamo.tables = {name: {} for name in KEYS}
    for fault, kind, says in (
        (
            refusal("AccessDeniedException", "DeleteTable"),
            Mendable,
            'table "app-replay-1-CoordinatorState": not allowed',
        ),
        (EndpointConnectionError(endpoint_url="http://nowhere"), Unreachable, "nothing answers for DynamoDB"),
    ):

        def refuse(operation: str, fault: Exception = fault) -> None:
            raise fault

        dynamo.before = refuse
        with pytest.raises(kind, match=says):
            opened().delete()
