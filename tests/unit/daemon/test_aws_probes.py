from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws_probes import (
    check_clock,
    check_identity,
    check_objects,
    check_table,
    encryption_note,
)
from consumer.daemon.prepare.preparation import NotReady, Unusable
from consumer.settings import load

SETTINGS = load("s3", overrides={"s3.bucket": "bucket"})
PLACE = {"Bucket": "bucket", "Key": "player-log/_check/0123"}
ACTIVE = {
    "Table": {
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{"IndexName": "LeaseOwnerToLeaseKeyIndex"}],
    }
}
WRITES = ("put_item", "update_item", "delete_item")
MIDNIGHT = "Thu, 01 Jan 1970 00:00:00 GMT"


def refusal(code: str, status: int = 400, operation: str = "Scan") -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)


@pytest.fixture
def dynamodb() -> Mock:
    client = Mock(spec_set=["describe_table", "scan", "get_item", "query", *WRITES])
    client.describe_table.return_value = ACTIVE
    for write in WRITES:
        getattr(client, write).side_effect = refusal("ConditionalCheckFailedException")
    return client


def check(dynamodb: Mock) -> str:
    return check_table(dynamodb, "leases", SETTINGS, key="tableName")


@pytest.mark.parametrize("write", WRITES)
def test_a_table_that_answers_is_asked_for_writes_that_never_happen(dynamodb: Mock, write: str) -> None:
    assert check(dynamodb) == "leases can be read and written"
    request = getattr(dynamodb, write).call_args.kwargs
    assert request["ConditionExpression"] == "attribute_exists(#key)"
    assert request["ExpressionAttributeNames"] == {"#key": "leaseKey"}


def test_a_table_that_is_missing_is_made_later(dynamodb: Mock) -> None:
    dynamodb.describe_table.side_effect = refusal("ResourceNotFoundException")
    assert "it is made at the first start" in check(dynamodb)


@pytest.mark.parametrize(
    ("method", "error", "outcome", "line"),
    [
        (
            "describe_table",
            refusal("AccessDeniedException", operation="DescribeTable"),
            Unusable,
            "DescribeTable",
        ),
        ("scan", refusal("AccessDeniedException", operation="Scan"), Unusable, "give the role dynamodb:Scan"),
        (
            "delete_item",
            refusal("AccessDeniedException", operation="DeleteItem"),
            Unusable,
            "dynamodb:DeleteItem",
        ),
        (
            "query",
            refusal("AccessDeniedException", operation="Query"),
            Unusable,
            "tableName: table leases: not allowed: give the role dynamodb:Query (docs/permissions.md)",
        ),
        ("scan", refusal("ValidationException"), Unusable, "tableName: table leases: "),
        ("scan", refusal("ThrottlingException"), NotReady, "DynamoDB answers 400 ThrottlingException"),
        ("scan", refusal("ExpiredTokenException"), Unusable, "AWS credentials: DynamoDB refuses them"),
    ],
)
def test_what_dynamodb_refuses_is_told(
    dynamodb: Mock, method: str, error: ClientError, outcome: type[Exception], line: str
) -> None:
    getattr(dynamodb, method).side_effect = error
    with pytest.raises(outcome) as raised:
        check(dynamodb)
    assert line in str(raised.value)


def test_the_tables_are_named_after_the_application_unless_set() -> None:
    overrides = {"s3.bucket": "bucket", "applicationName": "app"}
    assert load("s3", overrides=overrides).lease_tables == (
        "app",
        "app-WorkerMetricStats",
        "app-CoordinatorState",
    )
    named = {"tableName": "a", "workerMetricsTableName": "b", "coordinatorStateTableName": "c"}
    assert load("s3", overrides={**overrides, **named}).lease_tables == ("a", "b", "c")


class FakeS3:
    """Objects in a dictionary; refuses the operations that it is told to."""

    def __init__(self, *refused: str, gives: bytes | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.options: dict[str, str] = {}
        self._refused = refused
        self._gives = gives

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **options: str) -> None:  # noqa: N803
        self._answer("PutObject")
        self.objects[Key] = Body
        self.options = options

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self._answer("GetObject")
        return {"Body": Mock(read=lambda: self.objects[Key] if self._gives is None else self._gives)}

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        self._answer("DeleteObject")
        del self.objects[Key]

    def _answer(self, operation: str) -> None:
        if operation in self._refused:
            raise refusal("AccessDenied", 403, operation)


def test_a_probe_is_put_with_the_options_of_deliveries_read_back_and_deleted() -> None:
    s3 = FakeS3()
    line = check_objects(s3, "s3.bucket", PLACE, {"ServerSideEncryption": "aws:kms"}, SETTINGS)
    assert line == "s3://bucket/player-log/_check/ takes objects"
    assert s3.options == {"ServerSideEncryption": "aws:kms"}
    assert s3.objects == {}


def test_a_refused_put_names_setting_and_permission() -> None:
    with pytest.raises(Unusable, match=r"^s3\.bucket: .*give the role s3:PutObject"):
        check_objects(FakeS3("PutObject"), "s3.bucket", PLACE, {}, SETTINGS)


def test_what_delivery_does_not_need_may_be_refused() -> None:
    line = check_objects(FakeS3("GetObject", "DeleteObject"), "s3.bucket", PLACE, {}, SETTINGS)
    assert "takes objects; not allowed to read it back: s3:GetObject; not allowed to delete" in line
    assert line.endswith("delete player-log/_check/0123, which stays: s3:DeleteObject")


def test_other_bytes_than_were_put_are_a_fault() -> None:
    with pytest.raises(Unusable, match="other bytes"):
        check_objects(FakeS3(gives=b"other"), "s3.bucket", PLACE, {}, SETTINGS)


@pytest.mark.parametrize(
    ("summary", "told"),
    [
        ({"EncryptionType": "NONE"}, False),
        ({}, False),
        ({"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}, False),
        ({"EncryptionType": "KMS", "KeyId": "arn:aws:kms:eu-west-1:1:alias/aws/kinesis"}, False),
        ({"EncryptionType": "KMS", "KeyId": "arn:aws:kms:eu-west-1:1:key/k"}, True),
    ],
)
def test_a_stream_encrypted_with_a_key_of_ones_own_tells_of_the_right_to_decrypt(
    summary: dict[str, str], told: bool
) -> None:
    assert ("which takes kms:Decrypt" in encryption_note(summary)) is told


def test_a_role_whose_name_is_too_long_for_google_is_told_before_the_exchange_fails() -> None:
    given = {"bigquery.project": "my-project", "bigquery.dataset": "d", "deadletter.bucket": "bucket"}
    provider = "projects/1/locations/global/workloadIdentityPools/p/providers/a"
    federated = load(
        "bigquery",
        overrides={**given, "bigquery.credentials": "aws", "bigquery.identity_provider": provider},
    )
    longest = f"arn:aws:sts::123456789012:assumed-role/{'r' * 55}/{'0' * 32}"
    assert check_identity(longest, federated) == longest
    with pytest.raises(Unusable, match=r"^bigquery\.credentials = aws: .* more than the 127 bytes"):
        check_identity(longest + "0", federated)
    assert check_identity(longest + "0", load("bigquery", overrides=given)) == longest + "0"
    assert check_identity(longest + "0", SETTINGS) == longest + "0"


@pytest.mark.parametrize(
    ("now", "grace", "line"),
    [
        (12.0, 10.0, "this host is 12 s ahead of AWS"),
        (-12.0, 10.0, "this host is 12 s behind AWS"),
        (61.0, 600.0, "61 s ahead"),
        (2.1, 0.0, "2 s ahead"),
    ],
)
def test_a_clock_further_off_than_the_grace_is_a_fault(now: float, grace: float, line: str) -> None:
    with pytest.raises(Unusable, match=line):
        check_clock({"date": MIDNIGHT}, now, most_seconds=grace)


def test_a_clock_within_the_grace_is_well() -> None:
    assert check_clock({"date": MIDNIGHT}, 9.0, most_seconds=10.0) == "agrees with AWS"
    assert check_clock({"date": MIDNIGHT}, -1.9, most_seconds=0.0) == "agrees with AWS"
    with pytest.raises(Unusable, match="no date"):
        check_clock({}, 0.0, most_seconds=10.0)
