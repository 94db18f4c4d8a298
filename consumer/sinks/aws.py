"""AWS clients for the shard process, and what their errors mean."""

import importlib
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.loaders import Loader

from consumer.domain.errors import DeliveryError, SetupError, Throttled, TransientError
from consumer.settings import Settings
from consumer.sinks.http.proxies import refused_tunnel

THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_TRANSIENT_CODES = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "XAmzContentSHA256Mismatch",
    }
)
"""https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, beside every 5xx, 408 and 429."""

BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_CREDENTIALS = "AWS credentials"
"""What to look at when a client has none that can be used: no setting holds them."""
_BEHIND = {
    **dict.fromkeys(BAD_CREDENTIALS, _CREDENTIALS),
    **dict.fromkeys(
        ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"),
        "s3.region",
    ),
    "RequestTimeTooSkewed": "the clock of this host",
}
"""What to look at first, by code, where that is not the resource."""
_ENDPOINTS = {
    "s3.bucket": "s3.endpoint_url",
    "deadletter.bucket": "s3.endpoint_url",
    "bigquery.positions_table": "dynamoDBEndpoint",
}
"""Behind each resource, the setting of the address that answered."""
_PERMISSIONS = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket"}
"""By operation, where they have other names."""
_CHECKSUM_WORDS = ("checksum", "aws-chunked", "content-sha256", "transfer-encoding")

_CREDENTIALS_EXCEPTIONS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
    SSOTokenLoadError,
    ProfileNotFound,
    ConfigNotFound,
    ConfigParseError,
)
_SETUP_EXCEPTIONS = (NoRegionError, InvalidRegionError, ParamValidationError)

AWS_ERRORS = (ClientError, BotoCoreError, RuntimeError)
"""What a boto3 call raises that `delivery_error` can read. botocore raises a bare RuntimeError where refreshed
credentials turn out to be expired already (RefreshableCredentials._protected_refresh)."""


_AWS = "https://amazonaws.com"
"""Any host of theirs has the proxy that the others have."""

_SHARED_MODELS = ("service-2", "endpoint-rule-set-1")
_SHARED_DATA = ("endpoints", "partitions", "sdk-default-configuration", "_retry")

_shared: list[Loader] = []


def share_models(service: str) -> None:
    """Reads once what each client of a service is made of: clients of this process, and of those forked from it, use
    what was read. Sessions, and with them configuration and credentials, stay a client's own."""
    loader = botocore.session.get_session().get_component("data_loader")
    for name in _SHARED_MODELS:
        loader.load_service_model(service, name, api_version=None)  # as a client asks for it
    for name in _SHARED_DATA:
        loader.load_data(name)
    _shared[:] = [loader]
    if service == "s3":
        importlib.import_module("boto3.s3.inject")  # imported when a client is made


def _client(service: str, **options: Any) -> Any:
    session = botocore.session.get_session()
    if _shared:
        session.register_component("data_loader", _shared[0])
    client = boto3.Session(botocore_session=session).client(service, **options)

    def give_up_idle_connections(exception: Exception, **_: Any) -> None:
        # what has frozen one connection may have frozen the others, and each would cost a time-out
        if isinstance(exception, (ReadTimeoutError, ConnectTimeoutError)):
            client.close()

    client.meta.events.register("after-call-error", give_up_idle_connections)
    return client


def s3_client(
    *,
    region: str | None,
    endpoint_url: str | None,
    connections: int,
    connect_timeout_seconds: float = 5,
    read_timeout_seconds: float = 60,
    checksums: str | None = None,
) -> Any:
    """A client that makes one attempt a call: repeating is the delivery's task, which knows when to stop. `checksums`
    is botocore's word for when to use them, None for what it takes from the environment."""
    config = Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=connections,
        connect_timeout=connect_timeout_seconds,
        read_timeout=read_timeout_seconds,
        s3={"addressing_style": "path"} if endpoint_url else None,
        tcp_keepalive=True,
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )
    return _client("s3", region_name=region, endpoint_url=endpoint_url, config=config)


def s3_client_of(settings: Settings) -> Any:
    """The client of a shard process, for objects and for dead letters."""
    return s3_client(
        region=settings.optional_text("s3.region") or settings.optional_text("regionName"),
        endpoint_url=settings.optional_text("s3.endpoint_url"),
        connections=settings.integer("delivery.concurrency"),
        connect_timeout_seconds=settings.seconds("s3.connect_timeout"),
        read_timeout_seconds=settings.seconds("s3.read_timeout"),
        checksums=settings.optional_text("s3.checksums"),
    )


def dynamodb_client(
    *,
    region: str | None,
    endpoint_url: str | None,
    connect_timeout_seconds: float,
    read_timeout_seconds: float,
) -> Any:
    """One attempt a call, as `s3_client`."""
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=connect_timeout_seconds,
        read_timeout=read_timeout_seconds,
        tcp_keepalive=True,
    )
    return _client("dynamodb", region_name=region, endpoint_url=endpoint_url, config=config)


def object_options(settings: Settings) -> dict[str, str]:
    """Arguments of PutObject for a delivered object: storage class, tags, encryption."""
    options = _set_options(StorageClass=settings["s3.storage_class"], Tagging=settings["s3.tags"])
    return options | encryption_options(settings)


def encryption_options(settings: Settings) -> dict[str, str]:
    """Arguments of PutObject for any object of ours."""
    return _set_options(ServerSideEncryption=settings["s3.sse"], SSEKMSKeyId=settings["s3.kms_key_id"])


def _set_options(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def error_code(error: Exception) -> str:
    """AWS's own code of an answered error, else an empty text."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def fault_of_credentials(error: Exception) -> str | None:
    """What is wrong with this host's own credentials, before anyone is asked; None for every other error."""
    if isinstance(error, NoCredentialsError):
        return (
            "none found: run with the role of an instance or of a task, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY"
        )
    refreshed_too_late = type(error) is RuntimeError and str(error).startswith("Credentials were refreshed")
    return str(error) if isinstance(error, _CREDENTIALS_EXCEPTIONS) or refreshed_too_late else None


def delivery_error(error: Exception, *, setting: str) -> DeliveryError:
    """What a boto3 error asks of the caller; `setting` names the property behind the resource. Raises the error
    itself where it is none of boto3's."""
    if isinstance(error, ClientError):
        return _of_answer(error, setting=setting)
    if isinstance(error, ProxyConnectionError):
        return refused_by_proxy(error) or TransientError(str(error))
    fault = fault_of_credentials(error)
    if fault is not None:
        return SetupError(fault, setting=_CREDENTIALS)
    if isinstance(error, _SETUP_EXCEPTIONS):
        return SetupError(str(error), setting=setting)
    if isinstance(error, BotoCoreError):  # connections refused, reset, timed out
        return TransientError(str(error))
    raise error


def refused_by_proxy(error: ProxyConnectionError) -> SetupError | None:
    """None where the proxy may well let the next request through."""
    return refused_tunnel(error.kwargs.get("error"), _AWS)


def _of_answer(error: ClientError, *, setting: str) -> DeliveryError:
    code = error_code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status == 429 or code in THROTTLING_CODES:
        return Throttled(str(error))
    if (status >= 500 and status != 501) or status == 408 or code in _TRANSIENT_CODES:
        return TransientError(str(error))
    return SetupError(
        _with_permission(error, code, setting), setting=_setting_behind(error, code, status, setting)
    )


def _with_permission(error: ClientError, code: str, setting: str) -> str:
    """The permission that a refusal is about, where AWS does not name it."""
    if not code.startswith("AccessDenied") or "not authorized to perform" in str(error):
        return str(error)
    service = "dynamodb" if setting == "bigquery.positions_table" else "s3"
    permission = _PERMISSIONS.get(error.operation_name, error.operation_name)
    return f"{error}: the role needs {service}:{permission} (docs/permissions.md)"


def _setting_behind(error: ClientError, code: str, status: int, setting: str) -> str:
    """What to look at first. Stores that speak S3 say in many ways that they take no checksums."""
    endpoint = _ENDPOINTS.get(setting, setting)
    is_s3 = endpoint == "s3.endpoint_url"
    if is_s3 and any(word in str(error).lower() for word in _CHECKSUM_WORDS):
        return "s3.checksums"
    if status == 501 or code == str(status):  # botocore's code for an answer that is not the service's own
        return f"{endpoint}, s3.checksums" if is_s3 and status == 501 else endpoint
    return _BEHIND.get(code, setting)
