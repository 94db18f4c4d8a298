"""The lock of the KCL's leader, in an embedded DynamoDB."""

from typing import Any

from consumer.daemon.prepare.leader_lock import release_leader_lock
from consumer.settings import Settings

TABLE = "app-CoordinatorState"


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
    application: Settings, dynamodb: Any
) -> None:
    item = lock(dynamodb, "here")
    assert release_leader_lock(application, "here")
    assert items(dynamodb) == [{**item, "isReleased": {"S": "1"}}]
    assert not release_leader_lock(application, "here")


def test_another_workers_lock_stays_as_it_is(application: Settings, dynamodb: Any) -> None:
    item = lock(dynamodb, "there")
    assert not release_leader_lock(application, "here")
    assert items(dynamodb) == [item]


def test_there_may_be_no_lock_and_no_table(application: Settings) -> None:
    assert not release_leader_lock(application, "here")


def test_no_lock_is_made(application: Settings, dynamodb: Any) -> None:
    assert not release_leader_lock(application, "here")
    assert items(dynamodb) == []
