"""What `bigquery.method = storage_write` asks of DynamoDB, for tables that are always there."""

import json
import threading
from typing import Any

type Item = dict[str, Any]


class ConditionFailed(Exception):
    """The item is not as the request wants it."""


class Items:
    """By table and key. Safe to call from several threads."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str, str], Item] = {}
        self._lock = threading.Lock()
        self._operations = {
            "UpdateItem": self._raise_generation,
            "PutItem": self._put,
            "Query": self._query,
            "DeleteItem": self._delete,
        }

    def answer(self, target: str, body: bytes) -> tuple[int, bytes]:
        """HTTP status and body for a request with this `X-Amz-Target`. Raises KeyError for what it knows not."""
        operation = self._operations[target.rpartition(".")[2]]
        with self._lock:
            try:
                return 200, json.dumps(operation(json.loads(body))).encode()
            except ConditionFailed:
                return (
                    400,
                    b'{"__type":"ConditionalCheckFailedException","message":"The conditional request failed"}',
                )

    def _raise_generation(self, request: Item) -> Item:
        item = self._items.setdefault(_key(request, request["Key"]), dict(request["Key"]))
        before = int(item.get("generation", {"N": "0"})["N"])
        item["generation"] = {"N": str(before + 1)}
        return {"Attributes": item}

    def _put(self, request: Item) -> Item:
        key = _key(request, request["Item"])
        wanted = request.get("ExpressionAttributeValues", {}).get(":mine")
        if wanted is not None and self._items.get(key, {}).get("generation") != wanted:
            raise ConditionFailed
        self._items[key] = request["Item"]
        return {}

    def _query(self, request: Item) -> Item:
        values = request["ExpressionAttributeValues"]
        shard, head = values[":shard"]["S"], values[":refused"]["S"]
        found = [
            item
            for (table, owner, name), item in self._items.items()
            if (table, owner) == (request["TableName"], shard) and name.startswith(head)
        ]
        return {"Items": found, "Count": len(found)}

    def _delete(self, request: Item) -> Item:
        self._items.pop(_key(request, request["Key"]), None)
        return {}


def _key(request: Item, item: Item) -> tuple[str, str, str]:
    return request["TableName"], item["shard"]["S"], item["item"]["S"]
