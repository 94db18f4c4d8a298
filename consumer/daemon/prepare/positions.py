"""The DynamoDB table in which shard processes keep row counts, for bigquery.method = storage_write: made at start."""

from __future__ import annotations

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import client
from consumer.daemon.prepare.dynamodb import (
    dynamodb_service,
    find,
    keys_of,
    make,
    refusal,
    wait_until_usable,
)
from consumer.daemon.prepare.preparation import Step, Unusable
from consumer.domain.names import POSITIONS_HASH_KEY, POSITIONS_RANGE_KEY
from consumer.settings import Settings

KEY = "bigquery.positions_table"

_KEYS = {POSITIONS_HASH_KEY: "HASH", POSITIONS_RANGE_KEY: "RANGE"}


def positions_steps(settings: Settings) -> list[Step]:
    """One step where the method keeps counts."""
    if settings.text("bigquery.method") != "storage_write":
        return []
    return [lambda: ensure_table(settings)]


def ensure_table(settings: Settings) -> str:
    """Makes the table unless it is there; raises Unusable or NotReady."""
    service = dynamodb_service(settings)
    name = settings.text(KEY)
    dynamodb = client(service)
    try:
        found = find(dynamodb, name, service)
        if found is None:
            make(dynamodb, _request(name), service, KEY)
    except ClientError as error:
        raise refusal(error, f'{KEY}: table "{name}"', settings) from error
    keys = keys_of(found)
    if keys != _KEYS:
        raise Unusable(f'{KEY}: table "{name}" is another one: its keys are {keys}, not {_KEYS}')
    wait_until_usable(found, name, service, KEY)
    return f'table "{name}" of row counts is there'


def _request(name: str) -> dict[str, object]:
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind in _KEYS.items()],
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in _KEYS],
        "BillingMode": "PAY_PER_REQUEST",
    }
