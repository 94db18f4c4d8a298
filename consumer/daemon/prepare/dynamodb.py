"""A table in DynamoDB that has to be there: found, or made and waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import FORBIDDEN, Service, ask, code_of, kcl_service
from consumer.daemon.prepare.preparation import Mendable, NotReady, Trouble, Unusable
from consumer.daemon.prepare.rights import advice, refused_actions
from consumer.settings import Settings

MISSING = "ResourceNotFoundException"
_IN_USE = "ResourceInUseException"
"""Somebody else makes or has made the table."""
_BACKUPS_LATER = "ContinuousBackupsUnavailableException"
"""Of a table that has only just become active."""
_USABLE = ("ACTIVE", "UPDATING")


def dynamodb_service(settings: Settings) -> Service:
    return kcl_service(settings, "DynamoDB", "dynamoDBEndpoint")


def keys_of(description: Mapping[str, Any]) -> dict[str, str]:
    """Of DescribeTable's answer, or of CreateTable's arguments: HASH or RANGE by name."""
    return {key["AttributeName"]: key["KeyType"] for key in description["KeySchema"]}


def find(dynamodb: Any, table: str, service: Service) -> Mapping[str, Any] | None:
    """DescribeTable's answer, None for a table that is not there. Raises ClientError, Unusable or NotReady."""
    try:
        found: Mapping[str, Any] = ask(lambda: dynamodb.describe_table(TableName=table)["Table"], service)
    except ClientError as error:
        if code_of(error) == MISSING:
            return None
        raise
    return found


def make(dynamodb: Any, request: Mapping[str, Any], service: Service, key: str) -> NoReturn:
    """Asks for the table, and raises NotReady, since that takes seconds; ClientError or Unusable where it is refused.
    `request` holds CreateTable's arguments."""
    try:
        ask(lambda: dynamodb.create_table(**request), service)
    except ClientError as error:
        if code_of(error) != _IN_USE:
            raise
    raise NotReady(f'{key}: table "{request["TableName"]}" is being made ({service.where()})')


def wait_until_usable(found: Mapping[str, Any], table: str, service: Service, key: str) -> None:
    """`found` is DescribeTable's answer. Raises NotReady."""
    if found["TableStatus"] not in _USABLE:
        raise NotReady(f'{key}: table "{table}" is {found["TableStatus"]} ({service.where()})')


def refusal(error: ClientError, what: str, settings: Settings) -> Trouble:
    """One line for what DynamoDB refuses; `what` names the setting and the table."""
    if code_of(error) == _BACKUPS_LATER:
        return NotReady(f"{what}: {error}")
    if code_of(error) in FORBIDDEN:
        action = refused_actions(error, f"dynamodb:{error.operation_name}")
        return Mendable(f"{what}: not allowed: {advice(settings, *action)}")
    return Unusable(f"{what}: {error}")
