"""The KCL's tables in DynamoDB: whether they are its own, and the leases in one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import FORBIDDEN, Service, ask, client, code_of, kcl_service
from consumer.daemon.prepare.preparation import Mendable, Step, Unusable
from consumer.daemon.report.leases import Lease
from consumer.settings import Settings

MISSING = "ResourceNotFoundException"

_FIELDS = ("leaseKey", "leaseOwner", "leaseCounter", "checkpoint", "parentShardId")
_TABLES = (
    ("tableName", "lease table", "leaseKey"),
    ("workerMetricsTableName", "table of workers' load", "wid"),
    ("coordinatorStateTableName", "table of the coordinator", "key"),
)
"""The setting that names each of Settings.lease_tables, what it is, and its only key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KclTable:
    """One of the three tables that the KCL makes for itself."""

    setting: str
    what: str
    name: str
    key: str

    def check_keys(self, description: Mapping[str, Any]) -> None:
        """Raises Mendable for somebody else's table of that name; `description` is DescribeTable's."""
        keys = {key["AttributeName"]: key["KeyType"] for key in description["KeySchema"]}
        if keys != {self.key: "HASH"}:
            raise Mendable(
                f'{self.setting}: table "{self.name}" is not the KCL\'s {self.what}: its key is'
                f" {', '.join(sorted(keys))}, not {self.key}. Set {self.setting} or applicationName to a free name"
            )


def kcl_tables(settings: Settings) -> list[KclTable]:
    """The table of the leases comes first."""
    named = zip(_TABLES, settings.lease_tables, strict=True)
    return [KclTable(setting=setting, what=what, name=name, key=key) for (setting, what, key), name in named]


def kcl_table_steps(settings: Settings) -> list[Step]:
    """One step for each table: the KCL makes those that are missing, and cannot use another one of that name."""
    return [lambda table=table: _look_at(settings, table) for table in kcl_tables(settings)]


def _look_at(settings: Settings, table: KclTable) -> str:
    service = dynamodb_service(settings)
    try:
        found = ask(lambda: client(service).describe_table(TableName=table.name)["Table"], service)
    except ClientError as error:
        if code_of(error) == MISSING:
            return f'{table.what} "{table.name}" is not there yet: the KCL makes it'
        if code_of(error) in FORBIDDEN:
            return f'not allowed to look at {table.what} "{table.name}"; going on ({service.where()})'
        raise Unusable(f'{table.setting}: table "{table.name}": {error}') from error
    table.check_keys(found)
    return f'{table.what} "{table.name}" is there'


def dynamodb_service(settings: Settings) -> Service:
    return kcl_service(settings, "DynamoDB", "dynamoDBEndpoint")


def lease_reader(settings: Settings) -> Callable[[], list[Lease]]:
    """Reads all leases at each call; blocks, and raises Trouble. Its client is made at the first call."""
    service = dynamodb_service(settings)
    table = kcl_tables(settings)[0]
    made: list[Any] = []

    def read() -> list[Lease]:
        if not made:
            made.append(client(service))
        try:
            table.check_keys(ask(lambda: made[0].describe_table(TableName=table.name)["Table"], service))
            leases: list[Lease] = ask(lambda: all_leases(made[0], table.name), service)
        except ClientError as error:
            raise Unusable(_refusal(error, table.name)) from error
        return leases

    return read


def all_leases(dynamodb: Any, table: str) -> list[Lease]:
    """Every row of a lease table, by as many requests as it takes."""
    names = {f"#{place}": field for place, field in enumerate(_FIELDS)}
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table, ProjectionExpression=", ".join(names), ExpressionAttributeNames=names
    )
    return [_lease(row) for page in pages for row in page["Items"]]


def _lease(row: Mapping[str, Any]) -> Lease:
    return Lease(
        shard=row["leaseKey"]["S"],
        owner=row.get("leaseOwner", {}).get("S"),
        counter=int(row.get("leaseCounter", {}).get("N", 0)),
        checkpoint=row.get("checkpoint", {}).get("S"),
        parents=frozenset(row.get("parentShardId", {}).get("SS", ())),
    )


def _refusal(error: ClientError, table: str) -> str:
    if code_of(error) == MISSING:
        return (
            f'lease table "{table}" does not exist. The KCL makes it at a start: where it was deleted, stop all'
            " workers and start them again; without checkpoints they begin at initialPositionInStream"
        )
    if code_of(error) in FORBIDDEN:
        return (
            f'lease table "{table}": not allowed: give the role dynamodb:{error.operation_name} (deploy/iam)'
        )
    return f'lease table "{table}": {error}'
