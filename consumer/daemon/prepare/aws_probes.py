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
from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.prepare.question import Check
from consumer.settings import Settings
from consumer.sinks.aws import encryption_options, object_options

PROBE_FOLDER = "_check/"
"""Athena, Glue and Spark pass over names that start with an underscore."""

_BODY = b"bin/check writes this, reads it and deletes it\n"
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


def lease_tables(settings: Settings) -> list[str]:
    """The three tables of the KCL: leases, workers' load, and who coordinates."""
    application = settings.text("applicationName")
    return [
        settings.optional_text("tableName") or application,
        settings.optional_text("workerMetricsTableName") or f"{application}-WorkerMetricStats",
        settings.optional_text("coordinatorStateTableName") or f"{application}-CoordinatorState",
    ]


def _table_checks(settings: Settings) -> Iterator[Check]:
    service = kcl_service(settings, "DynamoDB", "dynamoDBEndpoint")
    for table in lease_tables(settings):
        yield Check(name="lease table", step=lambda table=table: check_table(client(service), table, service))
    if settings.backend == "bigquery" and settings.text("bigquery.method") == "storage_write":
        counts = settings.text("bigquery.positions_table")
        yield Check(
            name="row counts", step=lambda: check_table(client(service), counts, service, maker="bin/start")
        )


def check_table(dynamodb: Any, table: str, service: Service, *, maker: str = "the KCL") -> str:
    """Whether a table can be described, read and written; one that is missing is made by `maker`."""

    def use() -> str:
        found = dynamodb.describe_table(TableName=table)["Table"]
        if found["TableStatus"] not in ("ACTIVE", "UPDATING"):
            return f"{table} is {found['TableStatus']}"
        dynamodb.scan(TableName=table, Limit=1)
        _write_nothing(dynamodb, table, [key["AttributeName"] for key in found["KeySchema"]])
        return f"{table} can be read and written"

    try:
        return str(ask(use, service))
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return f"{table} is not there yet: {maker} makes it at its first start"
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
