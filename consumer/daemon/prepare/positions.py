"""The DynamoDB table in which shard processes keep row counts, for bigquery.method = storage_write: made at start."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import FORBIDDEN, Service, ask, client, code_of, kcl_service
from consumer.daemon.prepare.preparation import NotReady, Step, Unusable
from consumer.domain.names import POSITIONS_HASH_KEY, POSITIONS_RANGE_KEY
from consumer.settings import Settings

KEY = "bigquery.positions_table"

_KEYS = {POSITIONS_HASH_KEY: "HASH", POSITIONS_RANGE_KEY: "RANGE"}

_MISSING = "ResourceNotFoundException"


def positions_service(settings: Settings) -> Service:
    return kcl_service(settings, "DynamoDB", "dynamoDBEndpoint")


def positions_steps(settings: Settings) -> list[Step]:
    """One step where the method keeps counts."""
    if settings.text("bigquery.method") != "storage_write":
        return []
    return [lambda: ensure_table(settings)]


def ensure_table(settings: Settings) -> str:
    """Makes the table unless it is there; raises Unusable or NotReady."""
    service = positions_service(settings)
    name = settings.text(KEY)
    dynamodb = client(service)
    try:
        found = ask(lambda: _describe(dynamodb, name), service)
        if found is None:
            ask(lambda: _create(dynamodb, name), service)
            raise NotReady(f'{KEY}: table "{name}" is being made ({service.where()})')
    except ClientError as error:
        if code_of(error) in FORBIDDEN:
            action = f"dynamodb:{error.operation_name}"
            raise Unusable(
                f'{KEY}: table "{name}": not allowed: give the role {action} (deploy/iam)'
            ) from error
        raise Unusable(f'{KEY}: table "{name}": {error}') from error
    keys = {key["AttributeName"]: key["KeyType"] for key in found["KeySchema"]}
    if keys != _KEYS:
        raise Unusable(f'{KEY}: table "{name}" is another one: its keys are {keys}, not {_KEYS}')
    if found["TableStatus"] not in ("ACTIVE", "UPDATING"):
        raise NotReady(f'{KEY}: table "{name}" is {found["TableStatus"]} ({service.where()})')
    return f'table "{name}" of row counts is there'


def _describe(dynamodb: Any, name: str) -> Any:
    try:
        return dynamodb.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if code_of(error) == _MISSING:
            return None
        raise


def _create(dynamodb: Any, name: str) -> None:
    try:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in _KEYS.items()],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in _KEYS],
            BillingMode="PAY_PER_REQUEST",
        )
    except ClientError as error:
        if code_of(error) != "ResourceInUseException":  # made by another host meanwhile
            raise
