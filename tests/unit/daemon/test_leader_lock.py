"""The lock of the KCL's leader, in an embedded DynamoDB."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from consumer.daemon.prepare.leader_lock import release_leader_lock
from consumer.settings import Settings, load

TABLE = "app-CoordinatorState"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    overrides = {"s3.bucket": "bucket", "applicationName": "app", "regionName": "eu-west-1"}
    with mock_aws():
        yield load("s3", overrides=overrides)


@pytest.fixture
def dynamodb(settings: Settings) -> Any:
    client = boto3.client("dynamodb", region_name="eu-west-1")
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def lock(dynamodb: Any, owner: str) -> dict[str, Any]:
    """As the lock client writes it."""
    item = {
        "key": {"S": "Leader"},
        "ownerName": {"S": owner},
        "leaseDuration": {"S": "120000"},
        "recordVersionNumber": {"S": "a-version"},
    }
    dynamodb.put_item(TableName=TABLE, Item=item)
    return item


def items(dynamodb: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dynamodb.scan(TableName=TABLE)["Items"]
    return found


def test_a_lock_of_this_workers_last_jvm_is_released_once_and_keeps_what_it_holds(
    settings: Settings, dynamodb: Any
) -> None:
    item = lock(dynamodb, "here")
    assert release_leader_lock(settings, "here")
    assert items(dynamodb) == [{**item, "isReleased": {"S": "1"}}]
    assert not release_leader_lock(settings, "here")


def test_another_workers_lock_stays_as_it_is(settings: Settings, dynamodb: Any) -> None:
    item = lock(dynamodb, "there")
    assert not release_leader_lock(settings, "here")
    assert items(dynamodb) == [item]


def test_there_may_be_no_lock_and_no_table(settings: Settings) -> None:
    assert not release_leader_lock(settings, "here")


def test_no_lock_is_made(settings: Settings, dynamodb: Any) -> None:
    assert not release_leader_lock(settings, "here")
    assert items(dynamodb) == []
