"""The KCL's tables in DynamoDB: made where they are missing, told from others, and the leases in one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import FORBIDDEN, ask, client, code_of
from consumer.daemon.prepare.dynamodb import (
    MISSING,
    dynamodb_service,
    find,
    keys_of,
    make,
    refusal,
    wait_until_usable,
)
from consumer.daemon.prepare.preparation import Mendable, Step, Trouble, Unusable
from consumer.daemon.report.leases import Lease
from consumer.settings import Settings

INDEX = "LeaseOwnerToLeaseKeyIndex"
"""DynamoDBLeaseRefresher.LEASE_OWNER_TO_LEASE_KEY_INDEX_NAME"""

_OWN_CREDENTIALS = "DefaultCredentialsProvider"
_CAPACITY = 10
_FIELDS = (
    "leaseKey",
    "leaseOwner",
    "leaseCounter",
    "checkpoint",
    "checkpointSubSequenceNumber",
    "parentShardId",
)
_TABLES = (
    ("tableName", "lease table", "leaseKey", ""),
    ("workerMetricsTableName", "table of workers' load", "wid", "workerMetrics"),
    ("coordinatorStateTableName", "table of the coordinator", "key", "coordinatorState"),
)
"""The setting that names each of Settings.lease_tables, what it is, its only key, and how the settings that say how the
KCL makes it begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KclTable:
    """One of the KCL's three tables."""

    setting: str
    what: str
    name: str
    key: str
    options: str

    def check_keys(self, description: Mapping[str, Any]) -> None:
        """Raises Mendable for somebody else's table of that name; `description` is DescribeTable's."""
        keys = keys_of(description)
        if keys != {self.key: "HASH"}:
            raise Mendable(
                f'{self.setting}: table "{self.name}" is not the KCL\'s {self.what}: its key is'
                f" {', '.join(sorted(keys))}, not {self.key}. Set {self.setting} or applicationName to a free name"
            )

    def named_by(self, settings: Settings) -> str:
        """The setting that it has its name from."""
        return "applicationName" if settings[self.setting] is None else self.setting

    def request(self, settings: Settings) -> dict[str, Any]:
        """The arguments of CreateTable with which the KCL makes it, but for the lease table's index: that the KCL adds
        afterwards, which takes minutes (DynamoDBLeaseRefresher, DdbUtil and CoordinatorStateDAO of KCL 3.1.3)."""
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeySchema": [{"AttributeName": self.key, "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": self.key, "AttributeType": "S"}],
        }
        if not self.options:
            return {**request, **_with_index(request, settings)}
        request |= {
            "BillingMode": settings[f"{self.options}BillingMode"] or "PAY_PER_REQUEST",
            "DeletionProtectionEnabled": bool(settings[f"{self.options}DeletionProtectionEnabled"]),
        }
        if request["BillingMode"] == "PROVISIONED":
            request["ProvisionedThroughput"] = {
                f"{kind}CapacityUnits": settings[f"{self.options}{kind}Capacity"] or _CAPACITY
                for kind in ("Read", "Write")
            }
        tags = settings.optional_text(f"{self.options}Tags")
        if tags is not None:
            pairs = [tag.partition("=") for tag in tags.split(",")]
            request["Tags"] = [{"Key": key, "Value": value} for key, _, value in pairs]
        return request

    def wants_recovery(self, settings: Settings) -> bool:
        """Whether point-in-time recovery belongs to the making of it; for the lease table the KCL sees to that at each
        start, for the others only where it has made them itself."""
        return bool(self.options and settings[f"{self.options}PointInTimeRecoveryEnabled"])


def _with_index(request: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    owner = {"AttributeName": "leaseOwner", "AttributeType": "S"}
    index = {
        "IndexName": INDEX,
        "KeySchema": [
            {"AttributeName": "leaseOwner", "KeyType": "HASH"},
            {"AttributeName": "leaseKey", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    return {
        "AttributeDefinitions": [*request["AttributeDefinitions"], owner],
        "GlobalSecondaryIndexes": [index],
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": bool(settings["leaseTableDeletionProtectionEnabled"]),
    }


def kcl_tables(settings: Settings) -> list[KclTable]:
    """The table of the leases comes first."""
    named = zip(_TABLES, settings.lease_tables, strict=True)
    return [
        KclTable(setting=setting, what=what, name=name, key=key, options=options)
        for (setting, what, key, options), name in named
    ]


def kcl_table_steps(settings: Settings) -> list[Step]:
    """One step for each table."""
    return [_TableStep(settings, table) for table in kcl_tables(settings)]


class _TableStep:
    """One table: found, or made as the KCL would make it, which waits up to 20 s for each of its tables and minutes for
    the index. Where the KCL keeps its tables with credentials of its own it is left to make them."""

    def __init__(self, settings: Settings, table: KclTable) -> None:
        self._settings = settings
        self._table = table
        self._is_made = False

    def __call__(self) -> str:
        service, table, settings = dynamodb_service(self._settings), self._table, self._settings
        dynamodb = client(service)
        key = table.named_by(settings)
        try:
            found = find(dynamodb, table.name, service)
            if found is None:
                if not _is_ours_to_make(settings):
                    return f'{table.what} "{table.name}" is not there yet: the KCL makes it'
                self._is_made = True
                make(dynamodb, table.request(settings), service, key)
            table.check_keys(found)
            wait_until_usable(found, table.name, service, key)
            if self._is_made and table.wants_recovery(settings):
                recovery = {"PointInTimeRecoveryEnabled": True}
                ask(
                    lambda: dynamodb.update_continuous_backups(
                        TableName=table.name, PointInTimeRecoverySpecification=recovery
                    ),
                    service,
                )
        except ClientError as error:
            if code_of(error) in FORBIDDEN and error.operation_name == "DescribeTable":
                said = f'not allowed to look at {table.what} "{table.name}", by dynamodb:DescribeTable'
                return f"{key}: {said}; going on ({service.where()})"
            raise refusal(error, f'{key}: {table.what} "{table.name}"', settings) from error
        return f'{table.what} "{table.name}" is {"made" if self._is_made else "there"}'


def _is_ours_to_make(settings: Settings) -> bool:
    if settings["AwsCredentialsProviderDynamoDB"] not in (None, _OWN_CREDENTIALS):
        return False
    return settings["kinesis.role_arn"] is not None or settings["AwsCredentialsProvider"] == _OWN_CREDENTIALS


type LeaseRow = Mapping[str, Mapping[str, Any]]
"""A row of the lease table as DynamoDB's client has it."""


def lease_reader(settings: Settings) -> Callable[[], list[Lease]]:
    """Reads all leases at each call; blocks, and raises Trouble. Its client is made at the first call."""
    return _reader(settings, all_leases)


def lease_row_reader(settings: Settings) -> Callable[[], list[LeaseRow]]:
    """The same, with all that stands in the rows, as of the moment of the call."""
    return _reader(settings, _all_rows)


def _reader[T](settings: Settings, scan: Callable[[Any, str], list[T]]) -> Callable[[], list[T]]:
    service = dynamodb_service(settings)
    table = kcl_tables(settings)[0]
    made: list[Any] = []

    def read() -> list[T]:
        if not made:
            made.append(client(service))
        try:
            table.check_keys(ask(lambda: made[0].describe_table(TableName=table.name)["Table"], service))
            found: list[T] = ask(lambda: scan(made[0], table.name), service)
        except ClientError as error:
            raise _unreadable(error, table, settings) from error
        return found

    return read


def all_leases(dynamodb: Any, table: str) -> list[Lease]:
    """Every row of a lease table, by as many requests as it takes."""
    names = {f"#{place}": field for place, field in enumerate(_FIELDS)}
    rows = _scan(
        dynamodb, TableName=table, ProjectionExpression=", ".join(names), ExpressionAttributeNames=names
    )
    return [_lease(row) for row in rows]


def _all_rows(dynamodb: Any, table: str) -> list[LeaseRow]:
    return list(_scan(dynamodb, TableName=table, ConsistentRead=True))


def _scan(dynamodb: Any, **request: Any) -> Iterator[LeaseRow]:
    for page in dynamodb.get_paginator("scan").paginate(**request):
        yield from page["Items"]


def _lease(row: LeaseRow) -> Lease:
    return Lease(
        shard=row["leaseKey"]["S"],
        owner=row.get("leaseOwner", {}).get("S"),
        counter=int(row.get("leaseCounter", {}).get("N", 0)),
        checkpoint=row.get("checkpoint", {}).get("S"),
        sub_sequence=int(row.get("checkpointSubSequenceNumber", {}).get("N", 0)),
        parents=frozenset(row.get("parentShardId", {}).get("SS", ())),
    )


def _unreadable(error: ClientError, table: KclTable, settings: Settings) -> Trouble:
    if code_of(error) == MISSING:
        return Unusable(
            f'lease table "{table.name}" does not exist. It is made at a start: where it was deleted, stop all'
            " workers and start them again; without checkpoints they begin at initialPositionInStream"
        )
    return refusal(error, f'{table.named_by(settings)}: lease table "{table.name}"', settings)
