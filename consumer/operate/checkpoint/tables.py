"""The lease table, and the row counts of storage_write: whether a worker runs, and writes that undo no worker's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.commands.running import running
from consumer.daemon.prepare.aws import ask, client, code_of
from consumer.daemon.prepare.dynamodb import MISSING, dynamodb_service, refusal
from consumer.daemon.prepare.lease_table import kcl_tables, lease_row_reader
from consumer.domain.names import POSITIONS_HASH_KEY, POSITIONS_RANGE_KEY
from consumer.operate.checkpoint.plan import LeaseChange, Row, counter, same_position
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience, patiently
from consumer.settings import Settings
from consumer.sinks.bigquery.storage_write.store import STATE

_CONFLICT = "ConditionalCheckFailedException"
_LOOK_SECONDS = 0.5
_RENEWALS = 1.5
"""Of failoverTimeMillis, within which the KCL renews a lease three times."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What storage_write keeps of a shard: its generation, and the mark with the counts of rows, None where there are
    none."""

    shard: str
    generation: int
    state: str | None


def refuse_daemon_here(settings: Settings) -> None:
    """Raises Refused while a daemon of the application runs on this host."""
    application = settings.text("applicationName")
    found = running(settings.path("worker.state_dir"))
    if any(one.settings.text("applicationName") == application for one in found):
        raise Refused(
            f"nothing was changed: a daemon of {application} runs on this host. Stop all its workers, on every host,"
            " and start this again"
        )


class Tables:
    """Of one application. Calls block and raise Trouble, or Refused where a worker has come in between."""

    def __init__(self, settings: Settings, patience: Patience) -> None:
        self._settings = settings
        self._service = dynamodb_service(settings)
        self._leases = kcl_tables(settings)[0]
        self._counts = settings.text("bigquery.positions_table") if keeps_counts(settings) else None
        self._read = lease_row_reader(settings)
        self._dynamodb = client(self._service)
        self._patience = patience

    def rows(self) -> dict[str, Row]:
        """Of the lease table, by shard."""
        return {row["leaseKey"]["S"]: row for row in self._read()}

    def watched_seconds(self) -> float:
        """For how long refuse_while_renewed looks."""
        return _RENEWALS * self._settings.integer("failoverTimeMillis") / 1000

    def refuse_while_renewed(
        self,
        rows: Mapping[str, Row],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises Refused as soon as a lease changes hands or is renewed since `rows` were read; returns once that would
        have been seen."""
        end = monotonic() + self.watched_seconds()
        while True:
            now = self.rows()
            for shard in rows.keys() | now.keys():
                if _signs(rows.get(shard)) != _signs(now.get(shard)):
                    raise _a_worker_runs(now.get(shard) or rows[shard])
            if monotonic() >= end:
                return
            sleep(_LOOK_SECONDS)

    def write(self, change: LeaseChange) -> None:
        """Only while the row is as `change.before` has it. What is there already is no fault."""
        key = {self._leases.key: {"S": change.shard}}
        request: dict[str, Any] = {"TableName": self._leases.name}
        if change.before is None:
            request |= {
                "ConditionExpression": "attribute_not_exists(#key)",
                "ExpressionAttributeNames": {"#key": self._leases.key},
            }
        else:
            request |= {
                "ConditionExpression": "leaseCounter = :seen",
                "ExpressionAttributeValues": {":seen": {"N": str(counter(change.before))}},
            }
        done = (
            self._wrote("delete_item", Key=key, **request)
            if change.after is None
            else self._wrote("put_item", Item=change.after, **request)
        )
        if done:
            return
        found = self._asked("get_item", TableName=self._leases.name, Key=key, ConsistentRead=True).get("Item")
        # an answer that was lost: the write was made
        if not same_position(found, change.after) or (found and "leaseOwner" in found):
            raise _a_worker_runs(found or {"leaseKey": {"S": change.shard}})

    def counts(self, shards: Sequence[str]) -> list[Counts]:
        """Of those that were ever counted."""
        if self._counts is None:
            return []
        found = []
        for shard in shards:
            answer = self._asked(
                "get_item", TableName=self._counts, Key=_state_key(shard), ConsistentRead=True
            )
            if "Item" in answer:
                found.append(_counts_of(shard, answer["Item"]))
        return found

    def put_counts(self, before: Counts, state: str | None) -> None:
        """Under the next generation, which shuts out a process that was thought to have ended; only while they are as
        `before` has them."""
        update = "SET #state = :state ADD generation :one" if state else "REMOVE #state ADD generation :one"
        values = {":one": {"N": "1"}, ":seen": {"N": str(before.generation)}}
        done = self._wrote(
            "update_item",
            TableName=self._counts,
            Key=_state_key(before.shard),
            UpdateExpression=update,
            ConditionExpression="generation = :seen",
            ExpressionAttributeNames={"#state": STATE},
            ExpressionAttributeValues=values | ({":state": {"S": state}} if state else {}),
        )
        if done:
            return
        answer = self._asked(
            "get_item", TableName=self._counts, Key=_state_key(before.shard), ConsistentRead=True
        )
        if _counts_of(before.shard, answer.get("Item", {})) != Counts(
            before.shard, before.generation + 1, state
        ):
            raise _a_worker_runs({"leaseKey": {"S": before.shard}})

    def _wrote(self, operation: str, **request: Any) -> bool:
        """False where the condition does not hold."""
        try:
            self._asked(operation, **request)
        except _Unmet:
            return False
        return True

    def _asked(self, operation: str, **request: Any) -> dict[str, Any]:
        call = getattr(self._dynamodb, operation)
        try:
            answer: dict[str, Any] = patiently(
                self._patience, lambda: ask(lambda: call(**request), self._service)
            )
        except ClientError as error:
            if code_of(error) == _CONFLICT:
                raise _Unmet from error
            if code_of(error) == MISSING and request["TableName"] == self._counts:
                return {}  # no shard process of storage_write has ever started
            raise refusal(error, f'table "{request["TableName"]}"', self._settings) from error
        return answer


class _Unmet(Exception):
    """The condition of a write does not hold."""


def keeps_counts(settings: Settings) -> bool:
    return settings.backend == "bigquery" and settings.text("bigquery.method") == "storage_write"


def _state_key(shard: str) -> dict[str, Any]:
    return {POSITIONS_HASH_KEY: {"S": shard}, POSITIONS_RANGE_KEY: {"S": STATE}}


def _counts_of(shard: str, item: Row) -> Counts:
    return Counts(shard, int(item.get("generation", {}).get("N", 0)), item.get(STATE, {}).get("S"))


def _signs(row: Row | None) -> tuple[object, ...] | None:
    """What a worker changes."""
    return None if row is None else (counter(row), row.get("leaseOwner"), row.get("checkpoint"))


def _a_worker_runs(row: Row) -> Refused:
    owner = row.get("leaseOwner", {}).get("S")
    who = f"worker {owner} holds" if owner else "a worker has changed"
    return Refused(
        f"{who} the lease of {row['leaseKey']['S']}. Positions are moved only while no worker runs: stop all of them,"
        " on every host, and start this again"
    )
