"""Asks AWS whether the stream and the buckets are there, and says in a line what is wrong with the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.prepare.aws import (
    FORBIDDEN,
    Service,
    ask,
    bucket_client,
    code_of,
    kcl_service,
    s3_service,
    status_of,
    stream_client,
)
from consumer.daemon.prepare.preparation import NotReady, Step, Unusable
from consumer.settings import Settings


def aws_steps(settings: Settings, tell_shards: Callable[[int], None]) -> list[Step]:
    """The stream, whose open shards are told, and each bucket once."""
    return [stream_step(settings, tell_shards), *_bucket_steps(settings)]


def stream_of(settings: Settings) -> tuple[str, str, dict[str, str]]:
    """The setting that names the stream, its value, and the argument of a request for it."""
    arn = settings.optional_text("streamArn")
    if arn is not None:
        return "streamArn", arn, {"StreamARN": arn}
    name = settings.text("streamName")
    return "streamName", name, {"StreamName": name}


def _buckets_of(settings: Settings) -> dict[str, str]:
    """Each bucket once, with the first setting that names it."""
    keys: dict[str, str] = {}
    for key in ("s3.bucket", "deadletter.bucket"):
        bucket = settings.optional_text(key)
        if bucket is not None:
            keys.setdefault(bucket, key)
    return keys


def stream_step(settings: Settings, tell_shards: Callable[[int], None]) -> Step:
    """Tells the number of open shards, unless it may not be asked for."""
    service = kcl_service(settings, "Kinesis", "kinesisEndpoint")
    key, name, request = stream_of(settings)

    def step() -> str:
        kinesis = stream_client(settings, service)

        def question() -> Any:
            answer = kinesis.describe_stream_summary(**request)
            tell_shards(int(answer["StreamDescriptionSummary"]["OpenShardCount"]))
            return answer

        return check_stream(question, key, name, service)

    return step


def _bucket_steps(settings: Settings) -> list[Step]:
    service = s3_service(settings)
    return [_bucket_step(settings, key, bucket, service) for bucket, key in _buckets_of(settings).items()]


def _bucket_step(settings: Settings, key: str, bucket: str, service: Service) -> Step:
    def step() -> str:
        s3 = bucket_client(settings)
        return check_bucket(lambda: s3.list_objects_v2(Bucket=bucket, MaxKeys=1), key, bucket, service)

    return step


def check_stream(question: Callable[[], Any], key: str, name: str, service: Service) -> str:
    """Whether DescribeStreamSummary finds the stream in use. A refusal is told, not final: the KCL asks
    otherwise."""
    try:
        summary = ask(question, service)["StreamDescriptionSummary"]
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            raise Unusable(f'{key}: stream "{name}" does not exist ({service.where()})') from error
        if code_of(error) in FORBIDDEN:
            action = "kinesis:DescribeStreamSummary"
            return (
                f'{key}: not allowed to describe stream "{name}", by {action}; going on ({service.where()})'
            )
        raise Unusable(f"{key}: {error}") from error
    if summary["StreamStatus"] == "DELETING":
        raise Unusable(f'{key}: stream "{name}" is being deleted ({service.where()})')
    if summary["StreamStatus"] == "CREATING":
        raise NotReady(f'{key}: stream "{name}" is being created ({service.where()})')
    return f'stream "{name}" has {summary["OpenShardCount"]} open shards'


def check_bucket(question: Callable[[], Any], key: str, bucket: str, service: Service) -> str:
    """Whether the bucket can be listed, which tells more than HeadBucket: a refusal of that has no body.

    It needs s3:ListBucket, which delivery does not: a 403 is no fault.
    """
    try:
        ask(question, service)
    except ClientError as error:
        region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if status_of(error) == 404:
            raise Unusable(f'{key}: bucket "{bucket}" does not exist ({service.where()})') from error
        if region and region != service.region:
            raise Unusable(
                f'{key}: bucket "{bucket}" is in {region}, not in {service.region}: set s3.region'
            ) from error
        if status_of(error) == 403:
            return f'{key}: not allowed to look at bucket "{bucket}", by s3:ListBucket; going on ({service.where()})'
        raise Unusable(f"{key}: {error} ({service.where()})") from error
    return f'bucket "{bucket}" is there'
