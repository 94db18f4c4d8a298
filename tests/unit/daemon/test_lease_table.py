"""The KCL's tables, and the leases in one of them."""

from collections.abc import Callable, Mapping
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

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
    """Tables by their keys; pages of the lease table. `refused` are operations with their errors; tables that are made
    stay at `status`, as all do."""

    def __init__(self, keys: Mapping[str, str], *pages: list[dict[str, Any]]) -> None:
        self.keys = dict(keys)
        self.pages = pages
        self.refusal: ClientError | None = None
        self.refused: dict[str, ClientError] = {}
        self.made: list[dict[str, Any]] = []
        self.recovered: list[str] = []
        self.status = "ACTIVE"

    def create_table(self, **request: Any) -> None:
        self._answer("CreateTable")
        self.made.append(request)
        [key] = request["KeySchema"]
        self.keys[request["TableName"]] = key["AttributeName"]
        self.status = "CREATING"

    def update_continuous_backups(self, **request: Any) -> None:
        self._answer("UpdateContinuousBackups")
        assert request["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        self.recovered.append(request["TableName"])

    def _answer(self, operation: str) -> None:
        if operation in self.refused:
            raise self.refused[operation]

    def describe_table(self, *, TableName: str) -> dict[str, Any]:  # noqa: N803
        if self.refusal is not None:
            raise self.refusal
        if TableName not in self.keys:
            raise refusal("ResourceNotFoundException", "DescribeTable")
        keys = [{"AttributeName": self.keys[TableName], "KeyType": "HASH"}]
        return {"Table": {"KeySchema": keys, "TableStatus": self.status}}

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


def chosen(**changes: str) -> Settings:
    return load("s3", overrides={"s3.bucket": "bucket", "applicationName": "app", **changes})


def test_tables_that_are_there_are_left_as_they_are(use: Use, settings: Settings) -> None:
    dynamo = use(FakeDynamo(OWN_KEYS))
    assert [step() for step in kcl_table_steps(settings)] == [
        'lease table "app" is there',
        'table of workers\' load "app-WorkerMetricStats" is there',
        'table of the coordinator "app-CoordinatorState" is there',
    ]
    assert dynamo.made == []


def test_missing_tables_are_made_the_lease_table_with_its_index_and_waited_for(
    use: Use, settings: Settings
) -> None:
    dynamo = use(FakeDynamo({}))
    steps = kcl_table_steps(settings)
    for step in steps:
        with pytest.raises(NotReady, match=r"^applicationName: table .* is being made"):
            step()
        with pytest.raises(NotReady, match="is CREATING"):
            step()
    dynamo.status = "ACTIVE"
    assert [step() for step in steps] == [
        'lease table "app" is made',
        'table of workers\' load "app-WorkerMetricStats" is made',
        'table of the coordinator "app-CoordinatorState" is made',
    ]
    assert {
        request["TableName"]: request["KeySchema"][0]["AttributeName"] for request in dynamo.made
    } == OWN_KEYS
    assert {request["BillingMode"] for request in dynamo.made} == {"PAY_PER_REQUEST"}
    assert dynamo.made[0]["GlobalSecondaryIndexes"] == [
        {
            "IndexName": "LeaseOwnerToLeaseKeyIndex",
            "KeySchema": [
                {"AttributeName": "leaseOwner", "KeyType": "HASH"},
                {"AttributeName": "leaseKey", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ]
    assert dynamo.recovered == []


OPTIONS = {
    "leaseTableDeletionProtectionEnabled": "true",
    "leaseTablePitrEnabled": "true",
    "workerMetricsBillingMode": "PROVISIONED",
    "workerMetricsReadCapacity": "7",
    "workerMetricsTags": "team=games,note=a b",
    "coordinatorStateDeletionProtectionEnabled": "true",
    "coordinatorStatePointInTimeRecoveryEnabled": "true",
}


def test_the_kcls_settings_decide_how_its_tables_are_made(use: Use) -> None:
    dynamo = use(FakeDynamo({}))
    steps = kcl_table_steps(chosen(**OPTIONS))
    for step in steps:
        with pytest.raises(NotReady):
            step()
    dynamo.status = "ACTIVE"
    for step in steps:
        step()
    leases, load_, coordinator = dynamo.made
    assert leases["DeletionProtectionEnabled"] is coordinator["DeletionProtectionEnabled"] is True
    assert load_["DeletionProtectionEnabled"] is False
    assert load_["ProvisionedThroughput"] == {"ReadCapacityUnits": 7, "WriteCapacityUnits": 10}
    assert load_["Tags"] == [{"Key": "team", "Value": "games"}, {"Key": "note", "Value": "a b"}]
    # the KCL sees to the lease table's at each start
    assert dynamo.recovered == ["app-CoordinatorState"]
    model = botocore.session.get_session().get_service_model("dynamodb").operation_model("CreateTable")
    for request in dynamo.made:
        assert ParamValidator().validate(request, model.input_shape).generate_report() == ""


def test_recovery_of_a_table_that_was_there_is_left_as_it_is(use: Use) -> None:
    dynamo = use(FakeDynamo(OWN_KEYS))
    for step in kcl_table_steps(chosen(**OPTIONS)):
        step()
    assert dynamo.recovered == []


def test_backups_that_are_not_to_be_had_yet_are_waited_for(use: Use) -> None:
    dynamo = use(FakeDynamo({}))
    step = kcl_table_steps(chosen(**OPTIONS))[2]
    with pytest.raises(NotReady):
        step()
    dynamo.status = "ACTIVE"
    dynamo.refused["UpdateContinuousBackups"] = refusal("ContinuousBackupsUnavailableException")
    with pytest.raises(NotReady, match="ContinuousBackupsUnavailable"):
        step()
    dynamo.refused.clear()
    assert step().endswith("is made")
    assert dynamo.recovered == ["app-CoordinatorState"]


def test_a_table_that_another_worker_makes_at_the_same_moment_is_waited_for(
    use: Use, settings: Settings
) -> None:
    dynamo = use(FakeDynamo({}))
    dynamo.refused["CreateTable"] = refusal("ResourceInUseException", "CreateTable")
    step = kcl_table_steps(settings)[0]
    with pytest.raises(NotReady, match="is being made"):
        step()
    dynamo.keys = dict(OWN_KEYS)
    assert step() == 'lease table "app" is made'


def test_a_table_that_may_not_be_made_is_held_for(use: Use, settings: Settings) -> None:
    use(FakeDynamo({})).refused["CreateTable"] = refusal("AccessDeniedException", "CreateTable")
    for step in kcl_table_steps(settings):
        with pytest.raises(Mendable, match=r"^applicationName: .*give the role dynamodb:CreateTable \("):
            step()


@pytest.mark.parametrize(
    ("changes", "makes"),
    [
        ({"AwsCredentialsProviderDynamoDB": "StsAssumeRoleCredentialsProvider|arn|name"}, False),
        ({"AwsCredentialsProvider": "StsAssumeRoleCredentialsProvider|arn|name"}, False),
        ({"AwsCredentialsProviderDynamoDB": "DefaultCredentialsProvider"}, True),
        ({"kinesis.role_arn": "arn:aws:iam::222222222222:role/reader"}, True),
    ],
)
def test_tables_that_the_kcl_keeps_with_other_credentials_are_left_to_it(
    use: Use, changes: dict[str, str], makes: bool
) -> None:
    dynamo = use(FakeDynamo({}))
    for step in kcl_table_steps(chosen(**changes)):
        if makes:
            with pytest.raises(NotReady):
                step()
        else:
            assert step().endswith("is not there yet: the KCL makes it")
    assert len(dynamo.made) == (3 if makes else 0)


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

    with pytest.raises(ClientError, match="AccessDenied"):
        check_checkpoints(ask_for, [lease("a", "1")], KINESIS, "app")
