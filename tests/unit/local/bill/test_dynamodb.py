"""Request units by DynamoDB's rules, asked by botocore through moto."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from consumer.local.aws.item_sizes import item_bytes
from consumer.local.bill.dynamodb import Index, read_units, write_units
from tests.unit.local.bill.embedded import Aws

TABLE = {
    "TableName": "leases",
    "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
BOTH = [{"AttributeName": name, "AttributeType": "S"} for name in ("key", "owner")]
BY_OWNER = {
    "IndexName": "by-owner",
    "KeySchema": [
        {"AttributeName": "owner", "KeyType": "HASH"},
        {"AttributeName": "key", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def table(aws: Aws) -> Any:
    client = aws.client("dynamodb")
    client.create_table(**TABLE)
    aws.meter.reset()
    return client


def item(size: int = 0, **more: Any) -> dict[str, Any]:
    """Of about so many bytes."""
    return {"key": {"S": "a"}, **({"text": {"S": "x" * size}} if size else {}), **more}


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "Grüße"}, 7),
        ({"N": "0"}, 1),
        ({"N": "-12.30"}, 3),
        ({"N": "1200"}, 2),
        ({"B": "AAECAw=="}, 4),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["ab", "c"]}, 3),
        ({"NS": ["1", "22"]}, 4),
        ({"BS": ["AAE="]}, 2),
        ({"L": [{"S": "ab"}, {"BOOL": False}]}, 3 + 1 + 2 + 1 + 1),
        ({"M": {"name": {"S": "ab"}}}, 3 + 1 + 4 + 2),
    ],
)
def test_an_item_is_as_large_as_its_names_and_values(value: dict[str, Any], size: int) -> None:
    assert item_bytes({"n": value}) == 1 + size


@pytest.mark.parametrize(("size", "units"), [(0, 1), (1, 1), (1024, 1), (1025, 2), (4096, 4), (4097, 5)])
def test_a_write_costs_a_unit_for_each_begun_kilobyte(size: int, units: int) -> None:
    assert write_units(None, {"k": {"S": "x" * max(0, size - 1)}}) == units


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_a_write_costs_what_the_larger_of_before_and_after_costs(before: int, after: int) -> None:
    old, new = item(before), item(after)
    assert write_units(old, new) == max(write_units(None, old), write_units(None, new))


@pytest.mark.parametrize(
    ("size", "consistent", "units"),
    [(0, True, 1.0), (0, False, 0.5), (4096, True, 1.0), (4097, True, 2.0), (8192, False, 1.0)],
)
def test_a_read_costs_a_unit_for_each_begun_4_kilobytes(size: int, consistent: bool, units: float) -> None:
    assert read_units(size, consistent=consistent) == units


def test_an_index_costs_where_what_it_holds_changes() -> None:
    index = Index(("owner", "key"), frozenset({"owner", "key"}))
    free, mine = item(), item(owner={"S": "me"})
    other = item(owner={"S": "other"})
    assert index.write_units(free, free) == 0
    assert index.write_units(free, mine) == 1
    assert index.write_units(mine, {**mine, "counter": {"N": "2"}}) == 0
    assert index.write_units(mine, other) == 2  # an entry goes, another comes
    assert index.write_units(mine, None) == 1


def test_puts_and_updates_are_billed_by_the_item_that_comes_of_them(aws: Aws, table: Any) -> None:
    table.put_item(TableName="leases", Item=item(3000))
    assert aws.counted("dynamodb_write_units") == 3
    table.update_item(
        TableName="leases",
        Key=item(),
        UpdateExpression="SET renewals = :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    assert aws.counted("dynamodb_write_units") == 3
    table.put_item(TableName="leases", Item=item())  # smaller than before
    assert aws.counted("dynamodb_write_units") == 3
    table.put_item(TableName="leases", Item=item())
    assert aws.counted("dynamodb_write_units") == 1


def test_binary_values_count_as_bytes_however_deep_they_stand(aws: Aws, table: Any) -> None:
    deep = {"M": {"list": {"L": [{"B": b"x" * 2000}]}}}
    table.put_item(TableName="leases", Item=item(state={"B": b"x" * 1500}, deep=deep))
    assert aws.counted("dynamodb_write_units") == 4


def test_a_deletion_is_billed_by_what_was_there(aws: Aws, table: Any) -> None:
    table.put_item(TableName="leases", Item=item(2000))
    aws.meter.reset()
    table.delete_item(TableName="leases", Key=item())
    assert aws.counted("dynamodb_write_units") == 2
    table.delete_item(TableName="leases", Key=item())
    assert aws.counted("dynamodb_write_units") == 1


def test_a_condition_that_does_not_hold_is_billed_and_another_refusal_is_not(aws: Aws, table: Any) -> None:
    table.put_item(TableName="leases", Item=item(2000))
    aws.meter.reset()
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        table.put_item(
            TableName="leases", Item=item(), ConditionExpression="attribute_not_exists(#k)",
            ExpressionAttributeNames={"#k": "key"},
        )  # fmt: skip
    assert aws.counted("dynamodb_write_units") == 2
    with pytest.raises(ClientError, match="ResourceNotFound"):
        table.put_item(TableName="nowhere", Item=item())
    assert aws.counted("dynamodb_write_units") == 0


def test_a_transaction_costs_twice_as_much(aws: Aws, table: Any) -> None:
    table.transact_write_items(TransactItems=[{"Put": {"TableName": "leases", "Item": item(1500)}}])
    assert aws.counted("dynamodb_write_units") == 4


def test_each_write_of_a_batch_is_billed(aws: Aws, table: Any) -> None:
    writes = [{"PutRequest": {"Item": {"key": {"S": name}}}} for name in "abc"]
    table.batch_write_item(
        RequestItems={"leases": [*writes, {"DeleteRequest": {"Key": {"key": {"S": "z"}}}}]}
    )
    assert aws.counted("dynamodb_write_units") == 4


def test_reads_are_billed_by_the_items_and_by_consistency(aws: Aws, table: Any) -> None:
    for name in "abc":
        table.put_item(TableName="leases", Item={"key": {"S": name}, "text": {"S": "x" * 2000}})
    table.get_item(TableName="leases", Key=item())
    assert aws.counted("dynamodb_read_units") == 0.5
    table.get_item(TableName="leases", Key=item(), ConsistentRead=True)
    assert aws.counted("dynamodb_read_units") == 1
    table.get_item(TableName="leases", Key={"key": {"S": "missing"}}, ConsistentRead=True)
    assert aws.counted("dynamodb_read_units") == 1
    table.scan(TableName="leases", ConsistentRead=True)  # 6 KB together
    assert aws.counted("dynamodb_read_units") == 2
    table.scan(
        TableName="leases",
        FilterExpression="#k = :a",
        ExpressionAttributeNames={"#k": "key"},
        ExpressionAttributeValues={":a": {"S": "a"}},
    )
    assert aws.counted("dynamodb_read_units") == 1  # what was looked at, not what was found
    table.query(
        TableName="leases",
        KeyConditionExpression="#k = :a",
        ExpressionAttributeNames={"#k": "key"},
        ExpressionAttributeValues={":a": {"S": "a"}},
    )
    assert aws.counted("dynamodb_read_units") == 0.5
    table.batch_get_item(RequestItems={"leases": {"Keys": [item(), {"key": {"S": "missing"}}]}})
    assert aws.counted("dynamodb_read_units") == 1


@pytest.mark.parametrize("later", [False, True])
def test_an_index_is_billed_whether_it_came_with_the_table_or_later(aws: Aws, later: bool) -> None:
    client = aws.client("dynamodb")
    with_index = {"AttributeDefinitions": BOTH, "GlobalSecondaryIndexes": [BY_OWNER]}
    client.create_table(**TABLE | ({} if later else with_index))
    if later:
        client.update_table(
            TableName="leases",
            AttributeDefinitions=BOTH,
            GlobalSecondaryIndexUpdates=[{"Create": BY_OWNER}],
        )
    aws.meter.reset()
    client.put_item(TableName="leases", Item=item(owner={"S": "me"}))
    assert aws.counted("dynamodb_write_units") == 2


def test_what_tools_ask_is_not_billed(aws: Aws, table: Any) -> None:
    tool = aws.client("dynamodb", tool=True)
    tool.scan(TableName="leases")
    assert aws.counted("dynamodb_read_units") == 0
