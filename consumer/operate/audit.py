"""The audit: who has changed what, why, and how many, one object for each action beside the dead letters.

`<deadletter.prefix>audit/<application>/dt=YYYY-MM-DD/<time>-<command>-<token>.json` is written before anything is
changed, so that whoever may not write it changes nothing, and again at the end with what came of it. One that says
`begun` belongs to an action that still runs, or that was killed.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from consumer.domain.errors import DeliveryError
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience
from consumer.settings import Settings
from consumer.sinks.aws import AWS_ERRORS, delivery_error, encryption_options

type State = Literal["begun", "done", "stopped", "failed"]


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the object, and in the command's log."""

    at: str
    """When it began: RFC 3339 in UTC."""
    command: str
    application: str
    backend: str
    who: str
    reason: str
    """Why, in the operator's words."""
    what: str
    state: State
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlace:
    """Where the objects of one application's actions go; `put_options` are those of dead letters."""

    client: Any
    bucket: str
    prefix: str
    application: str
    put_options: Mapping[str, str]
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def of(cls, settings: Settings, client: Any) -> "AuditPlace":
        """`client` is an S3 client of boto3."""
        return cls(
            client=client,
            bucket=settings.text("deadletter.bucket"),
            prefix=settings.text("deadletter.prefix"),
            application=settings.text("applicationName"),
            put_options=encryption_options(settings),
        )

    def key(self, now: datetime, command: str, token: str) -> str:
        moment = now.astimezone(UTC)
        name = f"{moment:%Y%m%dT%H%M%SZ}-{command.replace(' ', '-')}-{token}.json"
        return f"{self.prefix}audit/{self.application}/dt={moment:%Y-%m-%d}/{name}"

    def put(self, key: str, line: AuditLine) -> None:
        """Raises DeliveryError."""
        self.patience.keep(lambda: self._put(key, msgspec.json.encode(line) + b"\n"))

    def _put(self, key: str, body: bytes) -> None:
        try:
            self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=body,
                ContentType="application/json",
                **self.put_options,
            )
        except AWS_ERRORS as error:
            raise delivery_error(error, setting="deadletter.bucket") from error


class Audit:
    """One action's entry."""

    def __init__(self, place: AuditPlace, key: str, line: AuditLine, log: Callable[[str], None]) -> None:
        self._place = place
        self.key = key
        self._line = line
        self._log = log

    @classmethod
    def begin(
        cls, place: AuditPlace, line: AuditLine, log: Callable[[str], None], *, now: datetime
    ) -> "Audit":
        """Writes the entry, before anything is changed. Raises Refused where that cannot be done."""
        entry = cls(place, place.key(now, line.command, secrets.token_hex(4)), line, log)
        try:
            entry._put(line)
        except DeliveryError as error:
            where = f"s3://{place.bucket}/{entry.key}"
            raise Refused(f"nothing was changed: the audit cannot be written to {where}: {error}") from error
        return entry

    def end(self, state: State, counts: Mapping[str, int]) -> None:
        """Tells how the action has ended. Where that cannot be written, the log alone has it."""
        line = msgspec.structs.replace(self._line, state=state, counts=counts)
        try:
            self._put(line)
        except DeliveryError as error:
            self._log(f"audit {msgspec.json.encode(line).decode()}")
            self._log(f"the end of it is not in s3://{self._place.bucket}/{self.key}: {error}")

    def _put(self, line: AuditLine) -> None:
        self._place.put(self.key, line)
        self._log(f"audit {msgspec.json.encode(line).decode()}")
