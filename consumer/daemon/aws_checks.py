"""Asks AWS whether the stream and the buckets are there, and says in a line what is wrong with the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from consumer.daemon.preparation import NotReady, Step, Unreachable, Unusable
from consumer.settings import Settings
from consumer.sinks.aws import s3_client

_THROTTLING = frozenset(
    ("LimitExceededException", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded")
)
_FORBIDDEN = frozenset(("403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled"))
_BAD_CREDENTIALS = frozenset(
    (
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    )
)
_ASK_ONCE = {"total_max_attempts": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One AWS service as a setting points to it. `endpoint` is what to name when nothing answers there."""

    name: str
    endpoint_key: str
    endpoint: str | None
    region_key: str
    region: str

    def where(self) -> str:
        if self.endpoint is not None:
            return f"{self.endpoint_key} {self.endpoint}"
        return f"{self.region_key} {self.region}"

    def key(self) -> str:
        return self.region_key if self.endpoint is None else self.endpoint_key


def aws_steps(settings: Settings) -> list[Step]:
    """The stream, and each bucket once."""
    return [_stream_step(settings), *_bucket_steps(settings)]


def _stream_step(settings: Settings) -> Step:
    service = Service(
        name="Kinesis",
        endpoint_key="kinesisEndpoint",
        endpoint=settings.optional_text("kinesisEndpoint"),
        region_key="regionName",
        region=settings.text("regionName"),
    )
    arn = settings.optional_text("streamArn")
    key, name = ("streamName", settings.text("streamName")) if arn is None else ("streamArn", arn)

    def step() -> str:
        client = boto3.client(
            "kinesis",
            region_name=service.region,
            endpoint_url=service.endpoint,
            config=Config(retries=_ASK_ONCE, connect_timeout=5, read_timeout=20),
        )
        request = {"StreamName": name} if arn is None else {"StreamARN": name}
        return check_stream(lambda: client.describe_stream_summary(**request), key, name, service)

    return step


def _bucket_steps(settings: Settings) -> list[Step]:
    service = Service(
        name="S3",
        endpoint_key="s3.endpoint_url",
        endpoint=settings.optional_text("s3.endpoint_url"),
        region_key="s3.region",
        region=settings.text("s3.region"),
    )
    keys: dict[str, str] = {}
    for key in ("s3.bucket", "deadletter.bucket"):
        bucket = settings.optional_text(key) if settings.backend == "s3" or key != "s3.bucket" else None
        if bucket is not None:
            keys.setdefault(bucket, key)
    return [_bucket_step(settings, key, bucket, service) for bucket, key in keys.items()]


def _bucket_step(settings: Settings, key: str, bucket: str, service: Service) -> Step:
    def step() -> str:
        client = s3_client(
            region=service.region,
            endpoint_url=service.endpoint,
            connections=1,
            connect_timeout_seconds=settings.seconds("s3.connect_timeout"),
            read_timeout_seconds=settings.seconds("s3.read_timeout"),
        )
        return check_bucket(lambda: client.list_objects_v2(Bucket=bucket, MaxKeys=1), key, bucket, service)

    return step


def check_stream(ask: Callable[[], Any], key: str, name: str, service: Service) -> str:
    """Whether DescribeStreamSummary finds the stream in use. A refusal is told, not final: the KCL asks
    otherwise."""
    try:
        summary = _ask(ask, service)["StreamDescriptionSummary"]
    except ClientError as error:
        if _code(error) == "ResourceNotFoundException":
            raise Unusable(f'{key}: stream "{name}" does not exist ({service.where()})') from error
        if _code(error) in _FORBIDDEN:
            return f'{key}: not allowed to describe stream "{name}"; going on ({service.where()})'
        raise Unusable(f"{key}: {error}") from error
    if summary["StreamStatus"] == "DELETING":
        raise Unusable(f'{key}: stream "{name}" is being deleted ({service.where()})')
    if summary["StreamStatus"] == "CREATING":
        raise NotReady(f'{key}: stream "{name}" is being created ({service.where()})')
    return f'stream "{name}" has {summary["OpenShardCount"]} open shards'


def check_bucket(ask: Callable[[], Any], key: str, bucket: str, service: Service) -> str:
    """Whether the bucket can be listed, which tells more than HeadBucket: a refusal of that has no body.

    It needs s3:ListBucket, which delivery does not: a 403 is no fault.
    """
    try:
        _ask(ask, service)
    except ClientError as error:
        region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if _status(error) == 404:
            raise Unusable(f'{key}: bucket "{bucket}" does not exist ({service.where()})') from error
        if region and region != service.region:
            raise Unusable(f'{key}: bucket "{bucket}" is in {region}, not in {service.region}') from error
        if _status(error) == 403:
            return f'{key}: not allowed to look at bucket "{bucket}"; going on ({service.where()})'
        raise Unusable(f"{key}: {error} ({service.where()})") from error
    return f'bucket "{bucket}" is there'


def _ask(ask: Callable[[], Any], service: Service) -> Any:
    """The answer; raises ClientError for a refusal that the caller can read, else Unusable or NotReady."""
    try:
        return ask()
    except ClientError as error:
        _refuse(error, service)
        raise
    except NoCredentialsError as error:
        raise Unusable(f"AWS credentials: none found for {service.name} ({error})") from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise NotReady(
            f"{service.key()}: {service.name} does not answer in time ({service.where()})"
        ) from error
    except EndpointConnectionError as error:
        raise Unreachable(
            f"{service.key()}: nothing answers for {service.name} ({service.where()})"
        ) from error
    except (HTTPClientError, BotoConnectionError) as error:
        raise NotReady(f"{service.key()}: {error}") from error
    except BotoCoreError as error:
        raise Unusable(f"{service.name}: {error}") from error


def _refuse(error: ClientError, service: Service) -> None:
    code = _code(error)
    if _status(error) >= 500 or _status(error) in (408, 429) or code in _THROTTLING:
        raise NotReady(f"{service.name} answers {_status(error)} {code} ({service.where()})") from error
    if code in _BAD_CREDENTIALS:
        raise Unusable(f"AWS credentials: {service.name} refuses them: {code} ({service.where()})") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
