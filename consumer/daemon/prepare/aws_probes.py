"""Asks AWS what the daemon will ask it later: who we are, the stream, the lease tables, the buckets, the time.

Nothing stays behind: the lease tables are asked for a write whose condition never holds, and what is put into a
bucket is deleted again.
"""

from __future__ import annotations

import email.utils
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import (
    FORBIDDEN,
    Service,
    ask,
    bucket_client,
    client,
    code_of,
    kcl_service,
    s3_service,
    status_of,
    stream_client,
    sts_service,
)
from consumer.daemon.prepare.aws_checks import check_bucket, check_stream, stream_of
from consumer.daemon.prepare.lease_table import MISSING, all_leases, dynamodb_service, kcl_tables
from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.prepare.question import Check
from consumer.daemon.report.leases import Lease
from consumer.settings import Settings
from consumer.sinks.aws import encryption_options, object_options

PROBE_FOLDER = "_check/"
"""Athena, Glue and Spark pass over names that start with an underscore."""

_BODY = b"bin/check writes this, reads it and deletes it\n"
_STRANGE_POSITIONS = frozenset({"InvalidArgumentException", "ResourceNotFoundException"})
"""What Kinesis says of a sequence number or of a shard that is not the stream's."""
_MOST_SKEW_SECONDS = 60.0
_LEAST_SKEW_SECONDS = 2.0
"""The Date header counts whole seconds."""


def aws_checks(settings: Settings, *, now: Callable[[], float]) -> list[Check]:
    """`now` is the clock to compare with AWS's: seconds since the epoch."""
    sts = sts_service(settings)
    return [
        Check(name="AWS credentials", step=lambda: _identity(sts)),
        Check(name="clock", step=lambda: _clock(settings, sts, now)),
        Check(name="stream", step=lambda: _stream(settings)),
        *_table_checks(settings),
        *_bucket_checks(settings),
    ]


def _identity(sts: Service) -> str:
    try:
        caller = ask(lambda: client(sts).get_caller_identity(), sts)
    except ClientError as error:
        raise Unusable(f"AWS credentials: {error}") from error
    return str(caller["Arn"])


def _clock(settings: Settings, sts: Service, now: Callable[[], float]) -> str:
    """Any answer tells the time, a refusal too: a clock that is far off spoils the signature."""

    def question() -> Any:
        try:
            return client(sts).get_caller_identity()
        except ClientError as error:
            return error.response

    began = now()
    answer = ask(question, sts)
    middle = (began + now()) / 2
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return check_clock(headers, middle, most_seconds=settings.seconds("chunk.grace"))


def check_clock(headers: Mapping[str, str], now: float, *, most_seconds: float) -> str:
    """Compares `now` with an answer's Date header.

    A shard's idle chunk is sealed chunk.grace after its window by the clock, so hosts further apart than that
    can cut chunks at different places.
    """
    if "date" not in headers:
        raise Unusable("the answer bears no date")
    ahead = now - email.utils.parsedate_to_datetime(headers["date"]).timestamp()
    if abs(ahead) > max(_LEAST_SKEW_SECONDS, min(most_seconds, _MOST_SKEW_SECONDS)):
        side = "ahead of" if ahead > 0 else "behind"
        raise Unusable(f"this host is {abs(ahead):.0f} s {side} AWS: set its clock by NTP, as chrony does")
    return "agrees with AWS"


def _stream(settings: Settings) -> str:
    """Describes the stream and reads one record of its first shard."""
    service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
    key, name, request = stream_of(settings)
    kinesis = stream_client(settings, service)
    line = check_stream(lambda: kinesis.describe_stream_summary(**request), key, name, service)

    def read() -> None:
        shard = kinesis.list_shards(MaxResults=1, **request)["Shards"][0]["ShardId"]
        iterator = kinesis.get_shard_iterator(ShardId=shard, ShardIteratorType="LATEST", **request)
        by_arn = {"StreamARN": name} if key == "streamArn" else {}
        kinesis.get_records(ShardIterator=iterator["ShardIterator"], Limit=1, **by_arn)

    try:
        ask(read, service)
    except ClientError as error:
        raise _refused(error, f"stream {name}", f"kinesis:{error.operation_name}") from error
    if "not allowed" in line:
        raise Unusable(f"{line}: allow kinesis:DescribeStreamSummary (deploy/iam)")
    role = settings.optional_text("kinesis.role_arn")
    return f"{line}, and can be read{f' as {role}' if role else ''}"


def _table_checks(settings: Settings) -> Iterator[Check]:
    service = dynamodb_service(settings)
    for table in kcl_tables(settings):
        yield Check(
            name="lease table",
            step=lambda table=table: check_table(
                client(service), table.name, service, check_keys=table.check_keys
            ),
        )
    yield Check(name="checkpoints", step=lambda: _checkpoints(settings))
    if settings.backend == "bigquery" and settings.text("bigquery.method") == "storage_write":
        counts = settings.text("bigquery.positions_table")
        yield Check(
            name="row counts", step=lambda: check_table(client(service), counts, service, maker="bin/start")
        )


def _checkpoints(settings: Settings) -> str:
    """Asks Kinesis for the iterator that the KCL will ask for, shard by shard."""
    service = dynamodb_service(settings)
    table = kcl_tables(settings)[0].name
    try:
        leases = ask(lambda: all_leases(client(service), table), service)
    except ClientError as error:
        if code_of(error) == MISSING:
            return "none yet"
        raise _refused(error, f"table {table}", f"dynamodb:{error.operation_name}") from error
    kinesis_service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
    _, _, stream = stream_of(settings)
    kinesis = stream_client(settings, kinesis_service)
    return check_checkpoints(
        lambda **position: kinesis.get_shard_iterator(**stream, **position), leases, kinesis_service, table
    )


def check_checkpoints(
    get_iterator: Callable[..., Any], leases: Sequence[Lease], service: Service, table: str
) -> str:
    """Whether each shard of a lease can be read on from its checkpoint; those read to their end are not asked for."""
    asked = [lease for lease in leases if lease.checkpoint is not None and not lease.ended]
    strange = [lease.shard for lease in asked if not _can_be_read_on(get_iterator, lease, service)]
    if strange:
        raise Unusable(
            f"{len(strange)} of {len(asked)} shards cannot be read on from their checkpoints"
            f" ({', '.join(strange[:3])}): was the stream made anew under its old name? Then, while no worker runs,"
            f' delete lease table "{table}", or set another applicationName: it begins at initialPositionInStream'
        )
    return f"{len(asked)} shards can be read on from their checkpoints"


def _can_be_read_on(get_iterator: Callable[..., Any], lease: Lease, service: Service) -> bool:
    position = {"ShardIteratorType": "TRIM_HORIZON"}
    if str(lease.checkpoint).isdecimal():
        position = {
            "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
            "StartingSequenceNumber": str(lease.checkpoint),
        }
    try:
        ask(lambda: get_iterator(ShardId=lease.shard, **position), service)
    except ClientError as error:
        if code_of(error) in _STRANGE_POSITIONS:
            return False
        raise _refused(error, f"shard {lease.shard}", f"kinesis:{error.operation_name}") from error
    return True


def check_table(
    dynamodb: Any,
    table: str,
    service: Service,
    *,
    maker: str = "the KCL",
    check_keys: Callable[[Mapping[str, Any]], None] | None = None,
) -> str:
    """Whether a table can be described, read and written; one that is missing is made by `maker`. `check_keys` raises
    Unusable for a description of somebody else's table."""

    def use() -> str:
        found = dynamodb.describe_table(TableName=table)["Table"]
        if check_keys is not None:
            check_keys(found)
        if found["TableStatus"] not in ("ACTIVE", "UPDATING"):
            return f"{table} is {found['TableStatus']}"
        dynamodb.scan(TableName=table, Limit=1)
        _write_nothing(dynamodb, table, [key["AttributeName"] for key in found["KeySchema"]])
        return f"{table} can be read and written"

    try:
        return str(ask(use, service))
    except ClientError as error:
        if code_of(error) == MISSING:
            return f"{table} is not there yet ({service.where()}): {maker} makes it at its first start"
        raise _refused(error, f"table {table}", f"dynamodb:{error.operation_name}") from error


def _write_nothing(dynamodb: Any, table: str, keys: Sequence[str]) -> None:
    try:
        dynamodb.delete_item(
            TableName=table,
            Key={key: {"S": "bin/check"} for key in keys},
            ConditionExpression="attribute_exists(#key)",
            ExpressionAttributeNames={"#key": keys[0]},
        )
    except ClientError as error:
        if code_of(error) != "ConditionalCheckFailedException":
            raise


def _bucket_checks(settings: Settings) -> Iterator[Check]:
    service = s3_service(settings)
    prefixes = {"s3.bucket": "s3.prefix", "deadletter.bucket": "deadletter.prefix"}
    for key, prefix in prefixes.items():
        bucket = settings.optional_text(key)
        if bucket is None:
            continue
        options = object_options(settings) if key == "s3.bucket" else encryption_options(settings)
        options.pop("StorageClass", None)  # some cannot be read back, and are billed for months
        place = {"Bucket": bucket, "Key": f"{settings.text(prefix)}{PROBE_FOLDER}{secrets.token_hex(8)}"}

        def step(key: str = key, place: dict[str, str] = place, options: dict[str, str] = options) -> str:
            s3 = bucket_client(settings)
            check_bucket(
                lambda: s3.list_objects_v2(Bucket=place["Bucket"], MaxKeys=1), key, place["Bucket"], service
            )
            return check_objects(s3, key, place, options, service)

        yield Check(name="bucket" if key == "s3.bucket" else "dead letters", step=step)


def check_objects(
    s3: Any, key: str, place: Mapping[str, str], options: Mapping[str, str], service: Service
) -> str:
    """Puts an object, reads it back and deletes it; `key` is the setting, `place` holds Bucket and Key.

    Delivery needs PutObject alone, so a refusal of the rest is no fault.
    """
    url = f"s3://{place['Bucket']}/{place['Key'].rpartition('/')[0]}/"
    try:
        ask(lambda: s3.put_object(Body=_BODY, **place, **options), service)
    except ClientError as error:
        raise _refused(error, f"{key}: {url}", "s3:PutObject, and the key's kms:GenerateDataKey") from error
    notes = []
    try:
        found = ask(lambda: s3.get_object(**place)["Body"].read(), service)
        if found != _BODY:
            raise Unusable(f"{key}: {url} gave back other bytes than were put")
    except ClientError as error:
        notes.append(f"not read back ({code_of(error)})")
    try:
        ask(lambda: s3.delete_object(**place), service)
    except ClientError as error:
        notes.append(f"{place['Key']} stays ({code_of(error)})")
    return f"{url} takes objects" + "".join(f"; {note}" for note in notes)


def _refused(error: ClientError, what: str, action: str) -> Unusable:
    if code_of(error) in FORBIDDEN or status_of(error) == 403:
        return Unusable(f"{what}: not allowed: give the role {action} (deploy/iam)")
    return Unusable(f"{what}: {error}")
