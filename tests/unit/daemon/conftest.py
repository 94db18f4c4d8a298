"""An application that has run, as far as DynamoDB tells."""

from collections.abc import Iterator
from typing import Any

import pytest

from consumer.settings import Settings, load


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """In an embedded AWS."""
    from moto import mock_aws  # the tests beside these do without

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    overrides = {"s3.bucket": "bucket", "applicationName": "app", "regionName": "eu-west-1"}
    with mock_aws():
        yield load("s3", overrides=overrides)


@pytest.fixture
def dynamodb(application: Settings) -> Any:
    """With the coordinator's table, as the KCL makes it."""
    import boto3

    client = boto3.client("dynamodb", region_name="eu-west-1")
    client.create_table(
        TableName="app-CoordinatorState",
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return client
