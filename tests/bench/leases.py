"""A lease table as a former worker left it, so that the KCL does not wait as it does on a fresh one; and the table that
`bin/start` makes for `bigquery.method = storage_write`."""

from typing import Any

_HASH_KEYS = 2**128


def create(dynamodb: Any, application: str, shard_ids: list[str]) -> None:
    """One lease for each shard, owned by nobody, with nothing read; the shards share the hash keys evenly.

    `dynamodb` is a boto3 client. The KCL sleeps up to 30 s before it fills an empty table.
    """
    dynamodb.create_table(
        TableName=application,
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for place, shard_id in enumerate(shard_ids):
        dynamodb.put_item(TableName=application, Item=_lease(shard_id, place, len(shard_ids)))


def create_positions(dynamodb: Any, table: str) -> None:
    """Without an item. `dynamodb` is a boto3 client."""
    keys = {"shard": "HASH", "item": "RANGE"}
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def _lease(shard_id: str, place: int, shards: int) -> dict[str, dict[str, str]]:
    return {
        "leaseKey": {"S": shard_id},
        "leaseCounter": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "startingHashKey": {"S": str(_HASH_KEYS * place // shards)},
        "endingHashKey": {"S": str(_HASH_KEYS * (place + 1) // shards - 1)},
    }
