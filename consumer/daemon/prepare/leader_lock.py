"""The lock of the KCL's leader, where a JVM of this worker has left it behind.

One worker of an application assigns leases. It holds a lock in the coordinator's table for 120 s at a time, which a JVM
that was killed keeps, and one that gave it up while DynamoDB did not answer: until it has run out, for two minutes or
more, nobody assigns a lease. So the lock is released as an orderly end would have done. Should a leader be there after
all, it fails at its next renewal; two at once would assign leases by conditional writes, and harm nothing.
https://github.com/awslabs/amazon-dynamodb-lock-client: an item with `isReleased` is free for the next who asks.
"""

from __future__ import annotations

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import ask, client, code_of
from consumer.daemon.prepare.dynamodb import MISSING, dynamodb_service, refusal
from consumer.daemon.prepare.lease_table import kcl_tables
from consumer.settings import Settings

_KEY = {"key": {"S": "Leader"}}
_NOT_OURS = "ConditionalCheckFailedException"


def release_leader_lock(settings: Settings, worker_id: str) -> bool:
    """Whether this worker held the lock, which is free by then. No JVM of this worker may rely on it. Blocks; raises
    Trouble."""
    service = dynamodb_service(settings)
    table = kcl_tables(settings)[2].name
    dynamodb = client(service)
    try:
        ask(
            lambda: dynamodb.update_item(
                TableName=table,
                Key=_KEY,
                UpdateExpression="SET isReleased = :released",
                ConditionExpression="ownerName = :worker AND attribute_not_exists(isReleased)",
                ExpressionAttributeValues={":released": {"S": "1"}, ":worker": {"S": worker_id}},
            ),
            service,
        )
    except ClientError as error:
        if code_of(error) in (_NOT_OURS, MISSING):
            return False
        raise refusal(error, f'table "{table}"', settings) from error
    return True
