"""Whether an application is paused: one item in DynamoDB, which every worker reads and `pause` and `resume` write.

It stands in the KCL's own table of the coordinator, beside the lock of its leader: each worker may read and write that
one already, and the KCL asks it for its own keys only. (Not in the lease table: there the KCL takes every row for a
lease.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import ask, client, code_of
from consumer.daemon.prepare.dynamodb import MISSING, dynamodb_service, refusal
from consumer.daemon.prepare.lease_table import kcl_tables
from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.report.pause import Pause, Paused
from consumer.settings import Settings

ITEM = "consumer.paused"
"""Its key. The KCL's own are Leader and Migration3.0."""

_KEY = {"key": {"S": ITEM}}
_CONFLICT = "ConditionalCheckFailedException"


class NeverRun(Unusable):
    """The table of the coordinator is missing: no worker of this application has ever started."""


class PauseFlag:
    """Each call is one request; it blocks and raises Trouble. The client is made at the first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._service = dynamodb_service(settings)
        self._table = kcl_tables(settings)[2].name
        self._client: Any = None

    def read(self, *, consistent: bool = False) -> Paused | None:
        """None where the application goes on. Without `consistent`, a write of the last moment may be missed, and the
        read costs half."""
        answer = self._ask("get_item", Key=_KEY, ConsistentRead=consistent)
        return _paused(answer["Item"]) if "Item" in answer else None

    def set(self, pause: Pause) -> bool:
        """Whether this call has paused the application; False where it was paused before."""
        item = {
            **_KEY,
            "who": {"S": pause.who},
            "why": {"S": pause.why},
            "at_ms": {"N": str(pause.at_ms)},
            "stopped": {"M": {}},
        }
        return self._on_condition("put_item", Item=item, ConditionExpression="attribute_not_exists(#key)")

    def clear(self) -> Paused | None:
        """Lets the application go on; returns the pause that this ends."""
        answer = self._ask("delete_item", Key=_KEY, ReturnValues="ALL_OLD")
        return _paused(answer["Attributes"]) if "Attributes" in answer else None

    def stopped(self, pause: Pause, worker: str, at_ms: int) -> None:
        """A worker has stopped taking records; nothing where that pause is over."""
        self._on_condition(
            "update_item",
            Key=_KEY,
            UpdateExpression="SET stopped.#worker = :now",
            ConditionExpression="attribute_exists(#key) AND at_ms = :at",
            ExpressionAttributeNames={"#key": "key", "#worker": worker},
            ExpressionAttributeValues={":now": {"N": str(at_ms)}, ":at": {"N": str(pause.at_ms)}},
        )

    def _on_condition(self, method: str, **request: Any) -> bool:
        request.setdefault("ExpressionAttributeNames", {"#key": "key"})
        try:
            self._ask(method, **request)
        except _Unmet:
            return False
        return True

    def _ask(self, method: str, **request: Any) -> dict[str, Any]:
        if self._client is None:
            self._client = client(self._service)
        call = getattr(self._client, method)
        try:
            answer: dict[str, Any] = ask(lambda: call(TableName=self._table, **request), self._service)
        except ClientError as error:
            raise _refusal(error, self._table, self._settings) from error
        return answer


class _Unmet(Exception):
    """The condition of a write does not hold."""


def _refusal(error: ClientError, table: str, settings: Settings) -> Exception:
    code = code_of(error)
    if code == _CONFLICT:
        return _Unmet()
    if code == MISSING:
        return NeverRun(f'no worker of this application has ever started: there is no table "{table}"')
    return refusal(error, f'table "{table}"', settings)


def _paused(item: Mapping[str, Any]) -> Paused:
    stopped = item.get("stopped", {}).get("M", {})
    return Paused(
        pause=Pause(
            who=item.get("who", {}).get("S", "?"),
            why=item.get("why", {}).get("S", ""),
            at_ms=int(item.get("at_ms", {}).get("N", 0)),
        ),
        stopped={worker: int(moment["N"]) for worker, moment in stopped.items()},
    )
