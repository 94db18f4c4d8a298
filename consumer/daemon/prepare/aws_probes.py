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
from consumer.daemon.prepare.dynamodb import MISSING, dynamodb_service, refusal
from consumer.daemon.prepare.lease_table import INDEX, all_leases, kcl_tables
from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.prepare.question import Check
from consumer.daemon.prepare.rights import advice, put_actions, refused_actions
from consumer.daemon.report.leases import Lease
from consumer.settings import Settings
from consumer.sinks.aws import encryption_options, object_options

PROBE_FOLDER = "_check/"
"""Athena, Glue and Spark pass over names that start with an underscore."""

_BODY = b"bin/check writes this, reads it and deletes it\n"
_STRANGE_POSITIONS = frozenset({"InvalidArgumentException", "ResourceNotFoundException"})
"""What Kinesis says of a sequence number or of a shard that is not the stream's."""
_LONGEST_SUBJECT = 127
"""google.subject: https://cloud.google.com/iam/docs/workload-identity-federation#mapping"""
_MOST_SKEW_SECONDS = 60.0
_LEAST_SKEW_SECONDS = 2.0
"""The Date header counts whole seconds."""


def aws_checks(settings: Settings, *, now: Callable[[], float]) -> list[Check]:
    """`now` is the clock to compare with AWS's: seconds since the epoch."""
    sts = sts_service(settings)
    return [
        Check(name="AWS credentials", step=lambda: _identity(settings, sts)),
        Check(name="clock", step=lambda: _clock(settings, sts, now)),
        Check(name="stream", step=lambda: _stream(settings)),
        *_table_checks(settings),
        *_bucket_checks(settings),
    ]


def _identity(settings: Settings, sts: Service) -> str:
    try:
        caller = ask(lambda: client(sts).get_caller_identity(), sts)
    except ClientError as error:
        raise Unusable(f"AWS credentials: {error}") from error
    return check_identity(str(caller["Arn"]), settings)


def check_identity(arn: str, settings: Settings) -> str:
    """Who we are to AWS; raises Unusable for a name that Google's token exchange refuses."""
    if settings["bigquery.credentials"] == "aws" and len(arn.encode()) > _LONGEST_SUBJECT:
        raise Unusable(
            f"bigquery.credentials = aws: {arn} has more than the {_LONGEST_SUBJECT} bytes that Google takes: give"
            " the role a shorter name (docs/ec2.md)"
        )
    return arn


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
    """Describes the stream, reads one record of its first shard, and asks for its consumer by fan-out."""
    service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
    key, name, request = stream_of(settings)
    kinesis = stream_client(settings, service)
    summary: dict[str, Any] = {}

    def describe() -> Any:
        answer = kinesis.describe_stream_summary(**request)
        summary.update(answer["StreamDescriptionSummary"])
        return answer

    line = check_stream(describe, key, name, service)

    def read() -> None:
        shard = kinesis.list_shards(MaxResults=1, **request)["Shards"][0]["ShardId"]
        iterator = kinesis.get_shard_iterator(ShardId=shard, ShardIteratorType="LATEST", **request)
        by_arn = {"StreamARN": name} if key == "streamArn" else {}
        kinesis.get_records(ShardIterator=iterator["ShardIterator"], Limit=1, **by_arn)
        if summary and settings["retrievalMode"] != "POLLING":
            _describe_consumer(kinesis, summary["StreamARN"], settings)

    try:
        ask(read, service)
    except ClientError as error:
        action = f"kinesis:{error.operation_name}"
        raise _refused(error, f"{key}: stream {name}", settings, action) from error
    if "not allowed" in line:
        raise Unusable(f"{line}: {advice(settings, 'kinesis:DescribeStreamSummary')}")
    role = settings.optional_text("kinesis.role_arn")
    return f"{line}, and can be read{f' as {role}' if role else ''}{encryption_note(summary)}"


def _describe_consumer(kinesis: Any, stream_arn: str, settings: Settings) -> None:
    arn = settings.optional_text("fanoutConfig.consumerArn")
    name = settings.optional_text("fanoutConfig.consumerName") or settings.text("applicationName")
    which = {"ConsumerARN": arn} if arn else {"StreamARN": stream_arn, "ConsumerName": name}
    try:
        kinesis.describe_stream_consumer(**which)
    except ClientError as error:
        if code_of(error) != MISSING or arn:  # by name the KCL registers it at its first start
            raise


def encryption_note(summary: Mapping[str, Any]) -> str:
    """The role's right to decrypt shows only where there are records, so it is told of in any case."""
    key = summary.get("KeyId")
    if summary.get("EncryptionType") != "KMS" or key is None or key.endswith("alias/aws/kinesis"):
        return ""
    return f"; it is encrypted with {key}, which takes kms:Decrypt (deploy/iam/stream-kms.json)"


def _table_checks(settings: Settings) -> Iterator[Check]:
    service = dynamodb_service(settings)
    for table in kcl_tables(settings):
        yield Check(
            name="lease table",
            step=lambda table=table: check_table(
                client(service), table.name, settings, key=table.named_by(settings), check=table.check_keys
            ),
        )
    yield Check(name="checkpoints", step=lambda: _checkpoints(settings))
    if settings.backend == "bigquery" and settings.text("bigquery.method") == "storage_write":
        key = "bigquery.positions_table"
        yield Check(
            name="row counts",
            step=lambda: check_table(client(service), settings.text(key), settings, key=key),
        )


def _checkpoints(settings: Settings) -> str:
    """Asks Kinesis for the iterator that the KCL will ask for, shard by shard."""
    service = dynamodb_service(settings)
    table = kcl_tables(settings)[0]
    try:
        leases = ask(lambda: all_leases(client(service), table.name), service)
    except ClientError as error:
        if code_of(error) == MISSING:
            return "none yet"
        raise refusal(error, f"{table.named_by(settings)}: table {table.name}", settings) from error
    kinesis_service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
    key, name, stream = stream_of(settings)
    kinesis = stream_client(settings, kinesis_service)
    try:
        return check_checkpoints(
            lambda **position: kinesis.get_shard_iterator(**stream, **position),
            leases,
            kinesis_service,
            table.name,
        )
    except ClientError as error:
        action = f"kinesis:{error.operation_name}"
        raise _refused(error, f"{key}: stream {name}", settings, action) from error


def check_checkpoints(
    get_iterator: Callable[..., Any], leases: Sequence[Lease], service: Service, table: str
) -> str:
    """Whether each shard of a lease can be read on from its checkpoint; those read to their end are not asked for. Lets
    ClientError through where it is no answer to that."""
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
        raise
    return True


def check_table(
    dynamodb: Any,
    table: str,
    settings: Settings,
    *,
    key: str,
    check: Callable[[Mapping[str, Any]], None] | None = None,
) -> str:
    """Whether a table can be described, read and written; `key` is the setting that names it. `check` raises Unusable
    for a description of somebody else's table."""
    service = dynamodb_service(settings)

    def use() -> str:
        found = dynamodb.describe_table(TableName=table)["Table"]
        if check is not None:
            check(found)
        if found["TableStatus"] not in ("ACTIVE", "UPDATING"):
            return f"{table} is {found['TableStatus']}"
        _read_and_write_nothing(dynamodb, found, table)
        return f"{table} can be read and written"

    try:
        return str(ask(use, service))
    except ClientError as error:
        if code_of(error) == MISSING:
            return f"{table} is not there yet ({service.where()}): it is made at the first start"
        raise refusal(error, f"{key}: table {table}", settings) from error


def _read_and_write_nothing(dynamodb: Any, found: Mapping[str, Any], table: str) -> None:
    """Asks for every operation on items that the KCL, or a shard process, will use; none finds or changes any."""
    keys = [key["AttributeName"] for key in found["KeySchema"]]
    row = {key: {"S": "bin/check"} for key in keys}
    dynamodb.scan(TableName=table, Limit=1)
    if len(keys) > 1:  # the table of row counts
        _find_nothing(dynamodb, keys[0], TableName=table)
    else:
        dynamodb.get_item(TableName=table, Key=row)
    if any(index["IndexName"] == INDEX for index in found.get("GlobalSecondaryIndexes", ())):
        _find_nothing(dynamodb, "leaseOwner", TableName=table, IndexName=INDEX)
    never = {"ConditionExpression": "attribute_exists(#key)", "ExpressionAttributeNames": {"#key": keys[0]}}
    for write, item in (
        (dynamodb.put_item, "Item"),
        (dynamodb.update_item, "Key"),
        (dynamodb.delete_item, "Key"),
    ):
        try:
            write(TableName=table, **{item: row}, **never)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise


def _find_nothing(dynamodb: Any, key: str, **where: str) -> None:
    dynamodb.query(
        KeyConditionExpression="#key = :key",
        ExpressionAttributeNames={"#key": key},
        ExpressionAttributeValues={":key": {"S": "bin/check"}},
        **where,
    )


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
            line = check_bucket(
                lambda: s3.list_objects_v2(Bucket=place["Bucket"], MaxKeys=1), key, place["Bucket"], service
            )
            note = "; not allowed to look at it: s3:ListBucket" if "not allowed" in line else ""
            return f"{key}: {check_objects(s3, key, place, options, settings)}{note}"

        yield Check(name="bucket" if key == "s3.bucket" else "dead letters", step=step)


def check_objects(
    s3: Any, key: str, place: Mapping[str, str], options: Mapping[str, str], settings: Settings
) -> str:
    """Puts an object, reads it back and deletes it; `key` is the setting, `place` holds Bucket and Key.

    Delivery needs PutObject alone, so a refusal of the rest is no fault.
    """
    service = s3_service(settings)
    url = f"s3://{place['Bucket']}/{place['Key'].rpartition('/')[0]}/"
    try:
        ask(lambda: s3.put_object(Body=_BODY, **place, **options), service)
    except ClientError as error:
        raise _refused(error, f"{key}: {url}", settings, *put_actions(settings, key)) from error
    notes = []
    try:
        found = ask(lambda: s3.get_object(**place)["Body"].read(), service)
        if found != _BODY:
            raise Unusable(f"{key}: {url} gave back other bytes than were put")
    except ClientError as error:
        notes.append(_note(error, "read it back", "s3:GetObject"))
    try:
        ask(lambda: s3.delete_object(**place), service)
    except ClientError as error:
        notes.append(_note(error, f"delete {place['Key']}, which stays", "s3:DeleteObject"))
    return f"{url} takes objects" + "".join(f"; {note}" for note in notes)


def _note(error: ClientError, what: str, action: str) -> str:
    refused = code_of(error) in FORBIDDEN or status_of(error) == 403
    return (
        f"not allowed to {what}: {' or '.join(refused_actions(error, action))}"
        if refused
        else f"{what}: {error}"
    )


def _refused(error: ClientError, what: str, settings: Settings, *actions: str) -> Unusable:
    """`actions` are what the request needs, for a refusal that does not say which is missing."""
    if code_of(error) in FORBIDDEN or status_of(error) == 403:
        return Unusable(f"{what}: not allowed: {advice(settings, *refused_actions(error, *actions))}")
    return Unusable(f"{what}: {error}")
