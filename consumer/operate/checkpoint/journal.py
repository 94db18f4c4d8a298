"""What `set` was about to change, kept beside its line in the audit, so that it can be undone."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from consumer.domain.errors import DeliveryError
from consumer.operate.bucket import Bucket
from consumer.operate.checkpoint.plan import LeaseChange, Row
from consumer.operate.checkpoint.tables import Counts
from consumer.operate.errors import Refused


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of the lease table as DynamoDB's client has them."""

    application: str
    leases: tuple[LeaseChange, ...]
    counts: tuple[Counts, ...]


def key_beside(audit: str) -> str:
    return f"{audit.removesuffix('.json')}.before"


def keep(bucket: Bucket, key: str, journal: Journal) -> None:
    """Raises Refused, before anything is changed."""
    try:
        bucket.put(key, msgspec.json.encode(journal))
    except DeliveryError as error:
        raise Refused(
            f"nothing was changed: what is there cannot be kept in s3://{bucket.name}/{key}: {error}"
        ) from error


def read(bucket: Bucket, key: str, application: str) -> Journal:
    """Raises Refused where there is none of this application, or DeliveryError."""
    stored = bucket.get(key)
    if stored is None:
        raise Refused(f"nothing to undo: there is no s3://{bucket.name}/{key}")
    try:
        journal = msgspec.json.decode(stored.body, type=Journal)
    except msgspec.MsgspecError as error:
        raise Refused(f"s3://{bucket.name}/{key} is not what `checkpoint set` keeps: {error}") from error
    if journal.application != application:
        raise Refused(f"s3://{bucket.name}/{key} belongs to {journal.application}, not to {application}")
    leases = (LeaseChange(one.shard, _item(one.before), _item(one.after)) for one in journal.leases)
    return msgspec.structs.replace(journal, leases=tuple(leases))


def _item(row: Row | None) -> Row | None:
    """With its binary attributes, which JSON has as base64."""
    return None if row is None else {name: _value(dict(value)) for name, value in row.items()}


def _value(value: dict[str, Any]) -> dict[str, Any]:
    return {"B": base64.b64decode(value["B"])} if "B" in value else value
