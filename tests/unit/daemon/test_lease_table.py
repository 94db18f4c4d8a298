"""The KCL's tables, and the leases in one of them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from consumer.daemon.prepare import lease_table
from consumer.daemon.prepare.aws import Service
from consumer.daemon.prepare.aws_probes import check_checkpoints
from consumer.daemon.prepare.lease_table import kcl_table_steps, kcl_tables, lease_reader
from consumer.daemon.prepare.preparation import Mendable, NotReady, Trouble, Unusable
from consumer.daemon.report.leases import SHARD_END, Lease
from consumer.settings import Settings, load

KINESIS = Service(
    name="Kinesis", endpoint_key="kinesisEndpoint", endpoint=None, region_key="regionName", region="here"
)
OWN_KEYS = {"app": "leaseKey", "app-WorkerMetricStats": "wid", "app-CoordinatorState": "key"}


def refusal(code: str, operation: str = "Scan", status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)


class FakeDynamo:
    """Tables by their keys; pages of the lease table."""

    def __init__(self, keys: Mapping[str, str], *pages: list[dict[str, Any]]) -> None:
        self.keys = keys
        self.pages = pages
        self.refusal: ClientError | None = None

    def describe_table(self, *, TableName: str) -> dict[str, Any]:  # noqa: N803
        if self.refusal is not None:
            raise self.refusal
        if TableName not in self.keys:
            raise refusal("ResourceNotFoundException", "DescribeTable")
        keys = [{"AttributeName": self.keys[TableName], "KeyType": "HASH"}]
        return {"Table": {"KeySchema": keys, "TableStatus": "ACTIVE"}}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "scan"
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        assert request["TableName"] == "app"
        return [{"Items": page} for page in self.pages]


@pytest.fixture
def settings() -> Settings:
    return load("s3", overrides={"s3.bucket": "bucket", "applicationName": "app"})


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeDynamo], FakeDynamo]:
    def put(dynamo: FakeDynamo) -> FakeDynamo:
        monkeypatch.setattr(lease_table, "client", lambda _: dynamo)
        return dynamo

    return put


type Use = Callable[[FakeDynamo], FakeDynamo]


def test_tables_of_the_kcl_and_missing_ones_are_in_order(use: Use, settings: Settings) -> None:
    use(FakeDynamo({"app": "leaseKey", "app-CoordinatorState": "key"}))
    assert [step() for step in kcl_table_steps(settings)] == [
        'lease table "app" is there',
        'table of workers\' load "app-WorkerMetricStats" is not there yet: the KCL makes it',
        'table of the coordinator "app-CoordinatorState" is there',
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_somebody_elses_table_is_held_for_and_named_with_its_setting(
    use: Use, settings: Settings, place: int
) -> None:
    table = kcl_tables(settings)[place]
    use(FakeDynamo({**OWN_KEYS, table.name: "id"}))
    with pytest.raises(
        Mendable, match=f"^{table.setting}: table .{table.name}. is not .* its key is id, not"
    ):
        kcl_table_steps(settings)[place]()


def test_a_table_that_may_not_be_looked_at_is_no_fault(use: Use, settings: Settings) -> None:
    use(FakeDynamo(OWN_KEYS)).refusal = refusal("AccessDeniedException", "DescribeTable")
    assert "not allowed to look at lease table" in kcl_table_steps(settings)[0]()


def test_all_pages_of_leases_are_read(use: Use, settings: Settings) -> None:
    first = {
        "leaseKey": {"S": "a"},
        "leaseOwner": {"S": "w"},
        "leaseCounter": {"N": "7"},
        "checkpoint": {"S": "123"},
        "parentShardId": {"SS": ["p"]},
    }
    use(FakeDynamo(OWN_KEYS, [first], [{"leaseKey": {"S": "b"}}]))
    assert lease_reader(settings)() == [
        Lease(shard="a", owner="w", counter=7, checkpoint="123", parents=frozenset({"p"})),
        Lease(shard="b", owner=None, counter=0),
    ]


@pytest.mark.parametrize(
    ("keys", "code", "kind", "line"),
    [
        ({}, None, Unusable, 'lease table "app" does not exist'),
        ({"app": "id"}, None, Mendable, "is not the KCL's lease table"),
        (OWN_KEYS, "AccessDeniedException", Unusable, "give the role dynamodb:DescribeTable"),
        (OWN_KEYS, "ThrottlingException", NotReady, "DynamoDB answers 400 ThrottlingException"),
        (OWN_KEYS, "ValidationException", Unusable, "ValidationException"),
    ],
)
def test_why_leases_cannot_be_read_is_told(
    use: Use, settings: Settings, keys: dict[str, str], code: str | None, kind: type[Trouble], line: str
) -> None:
    use(FakeDynamo(keys)).refusal = None if code is None else refusal(code, "DescribeTable")
    with pytest.raises(kind, match=line):
        lease_reader(settings)()


def lease(shard: str, checkpoint: str | None) -> Lease:
    return Lease(shard=shard, owner=None, counter=0, checkpoint=checkpoint)


def test_each_checkpoint_is_asked_for_as_the_kcl_will() -> None:
    asked: list[dict[str, str]] = []
    leases = [
        lease("a", "123"),
        lease("b", "TRIM_HORIZON"),
        lease("c", SHARD_END),
        lease("d", None),
    ]
    line = check_checkpoints(lambda **request: asked.append(request), leases, KINESIS, "app")
    assert line == "2 shards can be read on from their checkpoints"
    assert asked == [
        {"ShardId": "a", "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "123"},
        {"ShardId": "b", "ShardIteratorType": "TRIM_HORIZON"},
    ]


@pytest.mark.parametrize("code", ["InvalidArgumentException", "ResourceNotFoundException"])
def test_checkpoints_of_another_stream_of_that_name_are_a_fault(code: str) -> None:
    def ask_for(**request: str) -> None:
        if request["ShardId"] == "b":
            raise refusal(code, "GetShardIterator")

    with pytest.raises(
        Unusable, match=r"1 of 2 shards .*\(b\): was the stream made anew .*delete lease table"
    ):
        check_checkpoints(ask_for, [lease("a", "1"), lease("b", "2")], KINESIS, "app")


def test_a_right_that_is_missing_is_no_strange_checkpoint() -> None:
    def ask_for(**_: str) -> None:
        raise refusal("AccessDeniedException", "GetShardIterator")

    with pytest.raises(Unusable, match="give the role kinesis:GetShardIterator"):
        check_checkpoints(ask_for, [lease("a", "1")], KINESIS, "app")
