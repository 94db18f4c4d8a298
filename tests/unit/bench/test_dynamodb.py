"""The discarding backend's answers in DynamoDB's place, asked by boto3."""

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.bench.discard import DiscardServer

KEY = {"shard": {"S": "shardId-1"}, "item": {"S": "state"}}


@pytest.fixture
def client() -> Iterator[Any]:
    server = DiscardServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made = boto3.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )
    yield made
    made.close()
    server.shutdown()
    thread.join()
    server.server_close()


def take_over(client: Any, table: str = "table") -> int:
    item = client.update_item(
        TableName=table,
        Key=KEY,
        UpdateExpression="ADD generation :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    return int(item["generation"]["N"])


def save(client: Any, generation: int, state: str) -> None:
    client.put_item(
        TableName="table",
        Item={**KEY, "generation": {"N": str(generation)}, "state": {"S": state}},
        ConditionExpression="generation = :mine",
        ExpressionAttributeValues={":mine": {"N": str(generation)}},
    )


def refused(client: Any, shard: str) -> list[str]:
    page = client.query(
        TableName="table",
        KeyConditionExpression="#shard = :shard AND begins_with(#item, :refused)",
        ExpressionAttributeNames={"#shard": "shard", "#item": "item"},
        ExpressionAttributeValues={":shard": {"S": shard}, ":refused": {"S": "refused#"}},
    )
    return [item["item"]["S"] for item in page["Items"]]


def test_each_owner_raises_the_generation_of_its_table(client: Any) -> None:
    assert [take_over(client), take_over(client), take_over(client, "another")] == [1, 2, 1]


def test_a_former_owner_cannot_write(client: Any) -> None:
    save_mine = take_over(client)
    save(client, save_mine, "first")
    take_over(client)
    with pytest.raises(ClientError, match="ConditionalCheckFailedException"):
        save(client, save_mine, "second")


def test_refused_rows_of_a_shard_are_found_until_they_are_forgotten(client: Any) -> None:
    key = {"shard": {"S": "shardId-1"}, "item": {"S": "refused#1#49"}}
    take_over(client)
    client.put_item(TableName="table", Item={**key, "rows": {"S": "[]"}})
    assert (refused(client, "shardId-1"), refused(client, "shardId-2")) == (["refused#1#49"], [])
    client.delete_item(TableName="table", Key=key)
    assert refused(client, "shardId-1") == []
