"""The DynamoDB table in which the state of every shard is kept, and the rows that the server has refused.

Two items a shard, `state` (positions.encode_mark) and `streams` (positions.encode_eras), carry a generation each:
whoever takes the shard over raises both before he reads them, and a write under an older one fails. That is what keeps
a former owner from opening a stream that nobody would finalize.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from consumer.domain.errors import SetupError, Superseded
from consumer.domain.names import POSITIONS_HASH_KEY, POSITIONS_RANGE_KEY
from consumer.domain.records import Position
from consumer.sinks.aws import AWS_ERRORS, delivery_error, error_code

SETTING = "bigquery.positions_table"

STATE, _STREAMS = "state", "streams"
_REFUSED = "refused#"
_A_REFUSED_ITEM = 500
"""An item takes 400 KB; a refusal about 400 bytes."""

_CONFLICT = "ConditionalCheckFailedException"
_MISSING = "ResourceNotFoundException"


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """A row of an era that the server has refused, and why."""

    era: int
    position: Position
    detail: str


@dataclass(frozen=True, slots=True)
class Generations:
    """Of one owner, by item."""

    state: int
    streams: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a shard's new owner finds: its own generations, and both items as the last one has left them, if any."""

    generations: Generations
    state: bytes | None
    streams: bytes | None


class PositionStore(Protocol):
    """Calls block; they raise TransientError or SetupError, and can be repeated."""

    def take_over(self) -> Taken:
        """Become the shard's owner."""

    def save_state(self, generations: Generations, state: bytes) -> None:
        """Raises Superseded when the shard has another owner by now."""

    def save_streams(self, generations: Generations, streams: bytes) -> None:
        """The same."""

    def refuse(self, rows: Sequence[Refused]) -> list[str]:
        """Keep refused rows; returns the keys to forget them by."""

    def refused(self) -> dict[str, list[Refused]]:
        """All refused rows, by key."""

    def forget(self, keys: Iterable[str]) -> None: ...


class DynamoPositions:
    """One shard's items."""

    def __init__(self, client: Any, *, table: str, shard: str) -> None:
        """`client` is boto3's DynamoDB client."""
        self._client = client
        self._table = table
        self._shard = shard

    def take_over(self) -> Taken:
        state_generation, state = self._taken(STATE)
        streams_generation, streams = self._taken(_STREAMS)
        return Taken(Generations(state_generation, streams_generation), state, streams)

    def save_state(self, generations: Generations, state: bytes) -> None:
        self._save(STATE, generations.state, state)

    def save_streams(self, generations: Generations, streams: bytes) -> None:
        self._save(_STREAMS, generations.streams, streams)

    def refuse(self, rows: Sequence[Refused]) -> list[str]:
        keys = []
        for start in range(0, len(rows), _A_REFUSED_ITEM):
            part = rows[start : start + _A_REFUSED_ITEM]
            # repeated under the same key: a row is refused once in an era
            key = f"{_REFUSED}{part[0].era}#{part[0].position}"
            item = {**self._key(key), "rows": {"S": msgspec.json.encode(part).decode()}}
            self._ask("put_item", Item=item)
            keys.append(key)
        return keys

    def refused(self) -> dict[str, list[Refused]]:
        found: dict[str, list[Refused]] = {}
        start: dict[str, Any] = {}
        while True:
            page = self._ask(
                "query",
                KeyConditionExpression="#shard = :shard AND begins_with(#item, :refused)",
                ExpressionAttributeNames={"#shard": POSITIONS_HASH_KEY, "#item": POSITIONS_RANGE_KEY},
                ExpressionAttributeValues={":shard": {"S": self._shard}, ":refused": {"S": _REFUSED}},
                ConsistentRead=True,
                **start,
            )
            for item in page["Items"]:
                found[item[POSITIONS_RANGE_KEY]["S"]] = msgspec.json.decode(
                    item["rows"]["S"], type=list[Refused]
                )
            if not page.get("LastEvaluatedKey"):
                return found
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._ask("delete_item", Key=self._key(key))

    def _taken(self, name: str) -> tuple[int, bytes | None]:
        item = self._ask(
            "update_item",
            Key=self._key(name),
            UpdateExpression="ADD generation :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="ALL_NEW",
        )["Attributes"]
        return int(item["generation"]["N"]), item[name]["S"].encode() if name in item else None

    def _save(self, name: str, generation: int, content: bytes) -> None:
        self._ask(
            "put_item",
            Item={**self._key(name), "generation": {"N": str(generation)}, name: {"S": content.decode()}},
            ConditionExpression="generation = :mine",
            ExpressionAttributeValues={":mine": {"N": str(generation)}},
        )

    def _key(self, item: str) -> dict[str, Any]:
        return {POSITIONS_HASH_KEY: {"S": self._shard}, POSITIONS_RANGE_KEY: {"S": item}}

    def _ask(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(TableName=self._table, **arguments)
        except AWS_ERRORS as error:
            code = error_code(error)
            if code == _CONFLICT:
                raise Superseded(f"{self._shard} has another owner") from error
            if code == _MISSING:
                raise SetupError(f"DynamoDB table {self._table} is missing", setting=SETTING) from error
            raise delivery_error(error, setting=SETTING) from error
