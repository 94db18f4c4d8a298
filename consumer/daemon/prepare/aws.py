"""One question to an AWS service, and what its answer asks of the operator."""

from __future__ import annotations

import threading
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
    ProxyConnectionError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from consumer.daemon.prepare.preparation import Mendable, NotReady, Unreachable, Unusable
from consumer.daemon.prepare.roles import assume_role_request
from consumer.settings import Settings
from consumer.sinks.aws import (
    BAD_CREDENTIALS,
    THROTTLING_CODES,
    fault_of_credentials,
    refused_by_proxy,
    s3_client_of,
)

_THROTTLING = THROTTLING_CODES | {"LimitExceededException"}
"""The last one is DynamoDB's, of tables that are made at once."""
FORBIDDEN = frozenset(
    ("403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "KMSAccessDeniedException")
)
_ASK_ONCE = {"total_max_attempts": 1}
_MAKING = threading.Lock()
"""Held while a client is made: botocore's sessions are not for several threads at once, and each thread would read the
model of its service for itself, which takes longer than all that is asked at a start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One AWS service as a setting points to it. `endpoint` is what to name when nothing answers there."""

    name: str
    endpoint_key: str
    endpoint: str | None
    region_key: str
    region: str

    def where(self) -> str:
        region = f"{self.region_key} {self.region}"
        return region if self.endpoint is None else f"{self.endpoint_key} {self.endpoint}, {region}"

    def key(self) -> str:
        return self.region_key if self.endpoint is None else self.endpoint_key


def kcl_service(settings: Settings, name: str, endpoint_key: str) -> Service:
    """A service that the KCL uses too, so that its endpoint and region are the KCL's settings."""
    return Service(
        name=name,
        endpoint_key=endpoint_key,
        endpoint=settings.optional_text(endpoint_key),
        region_key="regionName",
        region=settings.text("regionName"),
    )


def s3_service(settings: Settings) -> Service:
    return Service(
        name="S3",
        endpoint_key="s3.endpoint_url",
        endpoint=settings.optional_text("s3.endpoint_url"),
        region_key="s3.region",
        region=settings.text("s3.region"),
    )


def bucket_client(settings: Settings) -> Any:
    """The client that shard processes use. Raises Unusable."""
    return _made(lambda: s3_client_of(settings), s3_service(settings))


def sts_service(settings: Settings) -> Service:
    return Service(
        name="STS",
        endpoint_key="AWS_ENDPOINT_URL_STS",
        endpoint=None,
        region_key="regionName",
        region=settings.text("regionName"),
    )


def client(service: Service, **keys: str) -> Any:
    """A client that asks once a call; `keys` are boto3's arguments for credentials. Raises Unusable: the profile that
    AWS_PROFILE names is read here."""
    config = Config(retries=_ASK_ONCE, connect_timeout=5, read_timeout=20)
    name, region, endpoint = service.name.lower(), service.region, service.endpoint
    return _made(
        lambda: boto3.client(name, region_name=region, endpoint_url=endpoint, config=config, **keys), service
    )


def _made(make: Callable[[], Any], service: Service) -> Any:
    with _MAKING:
        return ask(make, service)


def stream_client(settings: Settings, service: Service) -> Any:
    """A client of Kinesis with the rights that the KCL will have there: the daemon's own, or kinesis.role_arn's.

    Raises Unusable or NotReady when the role cannot be had.
    """
    request = assume_role_request(settings)
    if request is None:
        return client(service)
    sts = sts_service(settings)
    try:
        keys = ask(lambda: client(sts).assume_role(**request), sts)["Credentials"]
    except ClientError as error:
        raise Unusable(
            f"kinesis.role_arn: {request['RoleArn']} cannot be assumed: {code_of(error)}: its trust policy has to"
            " name this host's role, which has to be allowed sts:AssumeRole (docs/permissions.md)"
        ) from error
    return client(
        service,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def ask(question: Callable[[], Any], service: Service) -> Any:
    """The answer; raises ClientError for a refusal that the caller can read, else Unusable or NotReady."""
    try:
        return question()
    except ClientError as error:
        _refuse(error, service)
        raise
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise NotReady(
            f"{service.key()}: {service.name} does not answer in time ({service.where()})"
        ) from error
    except ProxyConnectionError as error:
        refused = refused_by_proxy(error)
        if refused is not None:
            raise Mendable(str(refused)) from error
        raise NotReady(f"{service.name}: {error}") from error
    except EndpointConnectionError as error:
        raise Unreachable(
            f"{service.key()}: nothing answers for {service.name} ({service.where()})"
        ) from error
    except (HTTPClientError, BotoConnectionError) as error:
        raise NotReady(f"{service.key()}: {error}") from error
    except (BotoCoreError, RuntimeError) as error:
        fault = fault_of_credentials(error)
        if fault is not None:
            raise Unusable(f"AWS credentials: {fault}") from error
        if isinstance(error, BotoCoreError):
            raise Unusable(f"{service.name}: {error}") from error
        raise


def _refuse(error: ClientError, service: Service) -> None:
    code, status = code_of(error), status_of(error)
    unread = code == str(status)  # botocore's code where it cannot read the answer
    said = f"{service.name} answers {status}{'' if unread else f' {code}'} ({service.where()})"
    if status == 501:
        refused = ": a store that refuses checksums needs s3.checksums = when_required"
        raise Unusable(f"{service.key()}: {said}{refused if service.name == 'S3' else ''}") from error
    if status >= 500 or status in (408, 429) or code in _THROTTLING:
        raise NotReady(said) from error
    if unread and code not in FORBIDDEN:
        raise Unusable(
            f"{service.key()}: what answers {status} is not {service.name} ({service.where()})"
        ) from error
    if code in BAD_CREDENTIALS:
        raise Unusable(f"AWS credentials: {service.name} refuses them: {code} ({service.where()})") from error


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
