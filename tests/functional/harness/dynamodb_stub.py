"""DynamoDB, as far as one item a call goes: conditions on the generation, counters, queries of one shard."""

import json
from collections.abc import Callable
from typing import Any

from tests.functional.harness.http_stub import HttpStub, Reply

type Item = dict[str, Any]


class DynamoStub(HttpStub):
    """`items` by shard and item; `answer` may give a reply to an operation instead of the work."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.answer: Callable[[str], Reply | None] = lambda operation: None
        super().__init__()

    def handle(self, path: str, body: bytes, number: int) -> Reply:
        request = json.loads(body)
        operation = next(name for name, sign in _SIGNS.items() if sign in request)
        reply = self.answer(operation)
        if reply is not None:
            return reply
        with self.changed:
            return getattr(self, f"_{operation}")(request)  # type: ignore[no-any-return]

    def generation(self, shard: str) -> int:
        return int(self.items[shard, "state"]["generation"]["N"])

    def state(self, shard: str) -> Any:
        return json.loads(self.items[shard, "state"]["state"]["S"])

    def _update(self, request: Item) -> Reply:
        key = _key(request["Key"])
        item = self.items.setdefault(key, dict(request["Key"]))
        item["generation"] = {"N": str(int(item.get("generation", {"N": "0"})["N"]) + 1)}
        return _json({"Attributes": item})

    def _put(self, request: Item) -> Reply:
        key = _key(request["Item"])
        wanted = request.get("ExpressionAttributeValues", {}).get(":mine")
        if wanted is not None and self.items.get(key, {}).get("generation") != wanted:
            return _json({"__type": "ConditionalCheckFailedException", "message": "as told"}, 400)
        self.items[key] = request["Item"]
        return _json({})

    def _query(self, request: Item) -> Reply:
        shard = request["ExpressionAttributeValues"][":shard"]["S"]
        found = [
            item for key, item in self.items.items() if key[0] == shard and key[1].startswith("refused#")
        ]
        return _json({"Items": found, "Count": len(found)})

    def _delete(self, request: Item) -> Reply:
        self.items.pop(_key(request["Key"]), None)
        return _json({})


_SIGNS = {
    "update": "UpdateExpression",
    "put": "Item",
    "query": "KeyConditionExpression",
    "delete": "Key",
}


def _key(item: Item) -> tuple[str, str]:
    return item["shard"]["S"], item["item"]["S"]


def _json(content: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(content).encode(), "application/x-amz-json-1.0")
