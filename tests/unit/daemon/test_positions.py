"""The DynamoDB table of row counts: made, found, waited for, or refused with the setting to look at."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from consumer.daemon.prepare import positions
from consumer.daemon.prepare.preparation import NotReady, Unusable
from consumer.settings import Settings, load

KEYS = [{"AttributeName": "shard", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}]
COMMON = {
    "applicationName": "app",
    "streamName": "logs",
    "regionName": "us-east-1",
    "deadletter.bucket": "bucket",
    "bigquery.project": "project-1",
    "bigquery.dataset": "d",
}


def settings(**changes: str) -> Settings:
    return load("bigquery", overrides={**COMMON, **changes})


STORAGE_WRITE = settings(**{"bigquery.method": "storage_write"})


def refusal(code: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "DescribeTable"
    )


class FakeDynamo:
    """One table, or a refusal; `made` is what CreateTable was asked for."""

    def __init__(self, found: dict[str, Any] | Exception) -> None:
        self.found = found
        self.made: dict[str, Any] | None = None

    def describe_table(self, **request: Any) -> dict[str, Any]:
        if isinstance(self.found, Exception):
            raise self.found
        return {"Table": self.found}

    def create_table(self, **request: Any) -> None:
        self.made = request


@pytest.fixture
def ensure(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeDynamo], str]:
    def run(dynamo: FakeDynamo) -> str:
        monkeypatch.setattr(positions, "client", lambda service: dynamo)
        return positions.ensure_table(STORAGE_WRITE)

    return run


def test_a_missing_table_is_made_and_waited_for(ensure: Callable[[FakeDynamo], str]) -> None:
    dynamo = FakeDynamo(refusal("ResourceNotFoundException"))
    with pytest.raises(NotReady, match="is being made"):
        ensure(dynamo)
    assert dynamo.made is not None
    assert dynamo.made["TableName"] == "app-BigQueryStreams"
    assert dynamo.made["KeySchema"] == KEYS
    assert dynamo.made["BillingMode"] == "PAY_PER_REQUEST"


def test_a_table_that_is_there_is_used(ensure: Callable[[FakeDynamo], str]) -> None:
    assert "is there" in ensure(FakeDynamo({"KeySchema": KEYS, "TableStatus": "ACTIVE"}))


def test_a_table_that_is_being_made_is_waited_for(ensure: Callable[[FakeDynamo], str]) -> None:
    with pytest.raises(NotReady, match="CREATING"):
        ensure(FakeDynamo({"KeySchema": KEYS, "TableStatus": "CREATING"}))


def test_a_table_with_other_keys_is_refused(ensure: Callable[[FakeDynamo], str]) -> None:
    with pytest.raises(Unusable, match=r"bigquery\.positions_table.*is another one"):
        ensure(FakeDynamo({"KeySchema": KEYS[:1], "TableStatus": "ACTIVE"}))


def test_a_missing_permission_is_named(ensure: Callable[[FakeDynamo], str]) -> None:
    with pytest.raises(Unusable, match="give the role dynamodb:DescribeTable"):
        ensure(FakeDynamo(refusal("AccessDeniedException")))


def test_other_methods_need_no_table() -> None:
    assert positions.positions_steps(settings()) == []
    assert len(positions.positions_steps(STORAGE_WRITE)) == 1
