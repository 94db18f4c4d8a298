"""The KCL's tables of a replay: made and filled before its JVM starts, and deleted at its end.

Leases say where each shard begins. The KCL starts at the sequence number of a checkpoint and leaves out what is not
past it; the sub-sequence number is one less than that of the record to begin with, so -1 before a record of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import ask, client, code_of
from consumer.daemon.prepare.dynamodb import MISSING, dynamodb_service, refusal
from consumer.daemon.prepare.lease_table import kcl_table_steps, kcl_tables
from consumer.daemon.prepare.preparation import NotReady
from consumer.operate.patience import Patience, patiently
from consumer.settings import Settings

ITEM = "consumer.replay"
"""In the coordinator's table: all leases were written, so whoever comes next goes on with what they have become."""

_KEY = {"key": {"S": ITEM}}
_EXISTS = "ConditionalCheckFailedException"
_MADE_SECONDS = 300.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLease:
    """A lease that nobody has had. `checkpoint` is a sequence number, or `TRIM_HORIZON`. One that names itself as its
    parent is never read, since the KCL waits for the parent's end first: it fills the place of a shard that is not
    replayed, of which the KCL would otherwise make a lease of its own some minutes later."""

    shard: str
    checkpoint: str
    sub_sequence_number: int = 0
    parents: frozenset[str] = frozenset()
    hash_keys: tuple[str, str]


class ReplayTables:
    """`settings` are those of the replay. Each method blocks, and raises Trouble or TransientError."""

    def __init__(
        self,
        settings: Settings,
        patience: Patience,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._settings = settings
        self._service = dynamodb_service(settings)
        self._tables = kcl_tables(settings)
        self._dynamodb = client(self._service)
        self._patience = patience
        self._monotonic = monotonic
        self._sleep = sleep

    def begun(self) -> str | None:
        """What `begin` was told once all leases were written; None where they were not."""
        try:
            answer = self._ask("get_item", self._tables[2].name, Key=_KEY, ConsistentRead=True)
        except _Missing:
            return None
        return str(answer["Item"]["plan"]["S"]) if "Item" in answer else None

    def begin(self, leases: Iterable[FirstLease], plan: str) -> None:
        """Makes the tables and writes the leases, then the plan. To be repeated where it was interrupted."""
        began = self._monotonic()
        for step in kcl_table_steps(self._settings):
            while True:
                try:
                    step()
                    break
                except NotReady:
                    if self._monotonic() - began > _MADE_SECONDS:
                        raise
                    self._sleep(_LOOK_SECONDS)
        for lease in leases:
            self._ask(
                "put_item",
                self._tables[0].name,
                Item=_item(lease),
                ConditionExpression="attribute_not_exists(leaseKey)",
            )
        self._ask("put_item", self._tables[2].name, Item={**_KEY, "plan": {"S": plan}})

    def delete(self) -> None:
        """Those that are there. What says that the leases were written goes first: without leases the KCL would begin
        each shard at its first record."""
        for table in reversed(self._tables):
            try:
                self._ask("delete_table", table.name)
            except _Missing:
                continue

    def _ask(self, method: str, table: str, **request: Any) -> dict[str, Any]:
        call = getattr(self._dynamodb, method)
        try:
            answer: dict[str, Any] = patiently(
                self._patience, lambda: ask(lambda: call(TableName=table, **request), self._service)
            )
        except ClientError as error:
            if code_of(error) == _EXISTS:
                return {}
            if code_of(error) == MISSING:
                raise _Missing from error
            raise refusal(error, f'table "{table}"', self._settings) from error
        return answer


class _Missing(Exception):
    """There is no such table."""


def _item(lease: FirstLease) -> dict[str, dict[str, Any]]:
    first, last = lease.hash_keys
    item: dict[str, dict[str, Any]] = {
        "leaseKey": {"S": lease.shard},
        "leaseCounter": {"N": "0"},
        "checkpoint": {"S": lease.checkpoint},
        "checkpointSubSequenceNumber": {"N": str(lease.sub_sequence_number)},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "startingHashKey": {"S": first},
        "endingHashKey": {"S": last},
    }
    if lease.parents:
        item["parentShardId"] = {"SS": sorted(lease.parents)}
    return item
