"""The KCL's lease table, as it is: who owns which shard, and who hands them out."""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


@dataclass(frozen=True, slots=True)
class Leadership:
    """A lock in the coordinator's table; every renewal changes its version."""

    key: str
    owner: str
    version: str


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """The tables of one KCL application. Calls block."""

    client: Any
    application: str

    def owners(self) -> dict[str, str]:
        """The owner of every lease that has one, by shard; empty while there is no table."""
        return {
            item["leaseKey"]["S"]: item["leaseOwner"]["S"]
            for item in self._scan(self.application)
            if "S" in item.get("leaseOwner", {})
        }

    def leadership(self) -> Leadership | None:
        """Who hands out leases (the KCL's DynamoDBLockBasedLeaderDecider), if there is one."""
        for item in self._scan(f"{self.application}-CoordinatorState"):
            if "ownerName" in item and "recordVersionNumber" in item:
                return Leadership(item["key"]["S"], item["ownerName"]["S"], item["recordVersionNumber"]["S"])
        return None

    def end(self, leadership: Leadership) -> bool:
        """End a leadership that nobody has renewed since it was seen; whether it was there still."""
        try:
            self.client.delete_item(
                TableName=f"{self.application}-CoordinatorState",
                Key={"key": {"S": leadership.key}},
                ConditionExpression="recordVersionNumber = :seen",
                ExpressionAttributeValues={":seen": {"S": leadership.version}},
            )
        except (BotoCoreError, ClientError):
            return False
        return True

    def _scan(self, table: str) -> list[dict[str, Any]]:
        try:
            items: list[dict[str, Any]] = self.client.scan(TableName=table)["Items"]
        except (BotoCoreError, ClientError):
            return []
        return items
