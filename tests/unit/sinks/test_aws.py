"""What AWS errors ask for: patience, or a person."""

import pytest
from botocore import exceptions
from botocore.loaders import JSONFileLoader

from consumer.domain.errors import SetupError, TransientError
from consumer.sinks import aws
from consumer.sinks.aws import AWS_ERRORS, delivery_error


def answer(
    code: str, status: int, *, message: str = "m", operation: str = "PutObject"
) -> exceptions.ClientError:
    error = {"Code": code, "Message": message}
    return exceptions.ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)


def test_a_missing_permission_is_named_by_aws_or_by_us() -> None:
    error = delivery_error(answer("AccessDenied", 403), setting="s3.bucket")
    assert "the role needs s3:PutObject (docs/permissions.md)" in str(error)
    assert "(see s3.bucket)" in str(error)
    counts = answer("AccessDeniedException", 400, operation="UpdateItem")
    error = delivery_error(counts, setting="bigquery.positions_table")
    assert "the role needs dynamodb:UpdateItem (docs/permissions.md)" in str(error)
    said = "User: u is not authorized to perform: kms:GenerateDataKey on resource: k"
    error = delivery_error(answer("AccessDenied", 403, message=said), setting="s3.bucket")
    assert "kms:GenerateDataKey" in str(error)
    assert "the role needs" not in str(error)
    assert "the role needs" not in str(delivery_error(answer("NoSuchBucket", 404), setting="s3.bucket"))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
        ("SlowDown", 503),
        ("503", 503),
        ("BadGateway", 502),
        ("RequestTimeout", 400),
        ("RequestTimeout", 408),
        ("OperationAborted", 409),
        ("TooManyRequestsException", 429),
        ("Unheard", 429),
        ("Unheard", 599),
        ("ThrottlingException", 400),
        ("Throttling", 400),
        ("RequestLimitExceeded", 400),
        ("RequestThrottled", 400),
        ("BandwidthLimitExceeded", 400),
        ("PriorRequestNotComplete", 400),
        ("IncompleteBody", 400),
        ("BadDigest", 400),
        ("XAmzContentSHA256Mismatch", 400),
        ("SlowDown", 200),
    ],
)
def test_answers_that_waiting_cures(code: str, status: int) -> None:
    error = delivery_error(answer(code, status), setting="s3.bucket")
    assert isinstance(error, TransientError)
    assert code in str(error)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("NoSuchBucket", 404),
        ("AccessDenied", 403),
        ("AllAccessDisabled", 403),
        ("KMS.DisabledException", 400),
        ("KMS.NotFoundException", 400),
        ("InvalidArgument", 400),
        ("InvalidStorageClass", 400),
        ("EntityTooLarge", 400),
        ("MethodNotAllowed", 405),
        ("slowdown", 400),
        ("", 0),
    ],
)
def test_answers_that_somebody_has_to_mend(code: str, status: int) -> None:
    error = delivery_error(answer(code, status), setting="s3.bucket")
    assert isinstance(error, SetupError)
    assert error.setting == "s3.bucket"


@pytest.mark.parametrize(
    ("code", "status", "look_at"),
    [
        ("NotImplemented", 501, "s3.endpoint_url, s3.checksums"),
        ("501", 501, "s3.endpoint_url, s3.checksums"),
        ("404", 404, "s3.endpoint_url"),
        ("405", 405, "s3.endpoint_url"),
        ("PermanentRedirect", 301, "s3.region"),
        ("AuthorizationHeaderMalformed", 400, "s3.region"),
        ("InvalidAccessKeyId", 403, "AWS credentials"),
        ("SignatureDoesNotMatch", 403, "AWS credentials"),
        ("ExpiredToken", 400, "AWS credentials"),
        ("InvalidToken", 400, "AWS credentials"),
        ("RequestTimeTooSkewed", 403, "the clock of this host"),
    ],
)
@pytest.mark.parametrize("bucket", ["s3.bucket", "deadletter.bucket"])
def test_what_is_not_the_buckets_fault_names_what_to_look_at(
    code: str, status: int, look_at: str, bucket: str
) -> None:
    error = delivery_error(answer(code, status), setting=bucket)
    assert isinstance(error, SetupError)
    assert str(error).endswith(f" (see {look_at})")


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("InvalidArgument", 400, "Unsupported header 'x-amz-checksum-crc32' received for this API call."),
        ("InvalidArgument", 400, "aws-chunked encoding is not supported"),
        ("SignatureDoesNotMatch", 403, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD"),
        ("NotImplemented", 501, "A header you provided implies functionality: Transfer-Encoding"),
    ],
)
def test_a_store_that_refuses_checksums_is_told_apart_with_the_setting(
    code: str, status: int, message: str
) -> None:
    refused = exceptions.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "PutObject",
    )
    assert str(delivery_error(refused, setting="s3.bucket")).endswith(" (see s3.checksums)")
    assert "s3." not in str(delivery_error(refused, setting="bigquery.positions_table"))


@pytest.mark.parametrize(("code", "kind"), [(407, SetupError), (403, SetupError), (503, TransientError)])
def test_a_proxy_that_refuses_asks_for_a_person_and_one_that_is_busy_for_patience(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.example:3128")
    said = OSError(f"Tunnel connection failed: {code} No")
    error = exceptions.ProxyConnectionError(proxy_url="http://***:***@proxy.example:3128", error=said)
    found = delivery_error(error, setting="s3.bucket")
    assert isinstance(found, kind)
    assert isinstance(found, SetupError) is ("(see HTTPS_PROXY)" in str(found))
    assert "secret" not in str(found)


def test_an_answer_without_any_detail_asks_for_a_person() -> None:
    assert isinstance(delivery_error(exceptions.ClientError({}, "PutObject"), setting="s"), SetupError)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.EndpointConnectionError(endpoint_url="http://s3"),
        exceptions.ConnectTimeoutError(endpoint_url="http://s3"),
        exceptions.ReadTimeoutError(endpoint_url="http://s3"),
        exceptions.ConnectionClosedError(endpoint_url="http://s3"),
        exceptions.ProxyConnectionError(proxy_url="http://proxy"),
        exceptions.SSLError(endpoint_url="http://s3", error="handshake"),
        exceptions.HTTPClientError(error="reset"),
        exceptions.MetadataRetrievalError(error_msg="timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_broken_connections_are_waited_out(error: Exception) -> None:
    assert isinstance(delivery_error(error, setting="s3.bucket"), TransientError)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.NoRegionError(),
        exceptions.InvalidRegionError(region_name="us east"),
        exceptions.ParamValidationError(report="Invalid bucket name"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_wrong_setup_asks_for_a_person(error: Exception) -> None:
    assert isinstance(error, AWS_ERRORS)
    found = delivery_error(error, setting="deadletter.bucket")
    assert isinstance(found, SetupError)
    assert found.setting == "deadletter.bucket"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.NoCredentialsError(),
        exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        exceptions.CredentialRetrievalError(provider="container-role", error_msg="404"),
        exceptions.TokenRetrievalError(provider="sso", error_msg="expired"),
        exceptions.UnauthorizedSSOTokenError(),
        exceptions.SSOTokenLoadError(error_msg="no file"),
        exceptions.ProfileNotFound(profile="p"),
        exceptions.ConfigNotFound(path="p"),
        exceptions.ConfigParseError(path="p", error="e"),
        RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_credentials_that_cannot_be_had_name_no_bucket(error: Exception) -> None:
    assert isinstance(error, AWS_ERRORS)
    found = delivery_error(error, setting="deadletter.bucket")
    assert isinstance(found, SetupError)
    assert found.setting == "AWS credentials"


@pytest.mark.parametrize(
    "bug",
    [
        ValueError("credentials"),
        RuntimeError("deadlock"),
        RecursionError("Credentials were refreshed"),
        KeyError("x"),
    ],
)
def test_a_bug_is_not_taken_for_an_outage(bug: Exception) -> None:
    with pytest.raises(type(bug)) as caught:
        delivery_error(bug, setting="s3.bucket")
    assert caught.value is bug


def test_clients_read_no_file_again_once_the_models_of_their_service_are_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load_file(loader: JSONFileLoader, path: str) -> None:
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(aws, "_shared", [])
    aws.share_models("s3")
    monkeypatch.setattr(JSONFileLoader, "load_file", load_file)
    client = aws.s3_client(region="eu-west-1", endpoint_url=None, connections=1)
    assert client.meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
    client.close()
