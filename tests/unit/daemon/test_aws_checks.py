from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionClosedError as ClosedError

from consumer.daemon.prepare import aws_checks, lease_table
from consumer.daemon.prepare.aws import Service
from consumer.daemon.prepare.aws_checks import aws_steps, check_bucket, check_stream
from consumer.daemon.prepare.backend import count_open_shards, prepare_backend
from consumer.daemon.prepare.preparation import NotReady, Patience, Unreachable, Unusable
from consumer.daemon.report.log import Log
from consumer.settings import load

S3 = Service(
    name="S3",
    endpoint_key="s3.endpoint_url",
    endpoint="http://here",
    region_key="s3.region",
    region="us-east-1",
)
AMAZON = Service(
    name="Kinesis", endpoint_key="kinesisEndpoint", endpoint=None, region_key="regionName", region="eu-west-1"
)


def answer(code: str, status: int, headers: dict[str, str] | None = None) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "Operation")


def raising(error: Exception) -> Any:
    def ask() -> Any:
        raise error

    return ask


@pytest.mark.parametrize(
    ("error", "outcome", "line"),
    [
        (
            answer("NoSuchBucket", 404),
            Unusable,
            's3.bucket: bucket "b" does not exist (s3.endpoint_url http://here, s3.region us-east-1)',
        ),
        (
            answer("PermanentRedirect", 301, {"x-amz-bucket-region": "eu-west-1"}),
            Unusable,
            's3.bucket: bucket "b" is in eu-west-1, not in us-east-1: set s3.region',
        ),
        (answer("InvalidAccessKeyId", 403), Unusable, "AWS credentials: S3 refuses them: InvalidAccessKeyId"),
        (NoCredentialsError(), Unusable, "AWS credentials: none found: run with the role"),
        (
            ProfileNotFound(profile="p"),
            Unusable,
            "AWS credentials: The config profile (p) could not be found",
        ),
        (
            answer("NotImplemented", 501),
            Unusable,
            (
                "s3.endpoint_url: S3 answers 501 NotImplemented (s3.endpoint_url http://here, s3.region us-east-1):"
                " a store that refuses checksums needs s3.checksums = when_required"
            ),
        ),
        (answer("501", 501), Unusable, "s3.endpoint_url: S3 answers 501 (s3.endpoint_url http://here"),
        (
            answer("404", 404),
            Unusable,
            "s3.endpoint_url: what answers 404 is not S3 (s3.endpoint_url http://here",
        ),
        (answer("503", 503), NotReady, "S3 answers 503 ("),
        (answer("SlowDown", 503), NotReady, "S3 answers 503 SlowDown"),
        (answer("InternalError", 500), NotReady, "S3 answers 500 InternalError"),
        (answer("TooManyRequests", 429), NotReady, "S3 answers 429"),
        (
            ReadTimeoutError(endpoint_url="http://here"),
            NotReady,
            "s3.endpoint_url: S3 does not answer in time",
        ),
        (
            ConnectTimeoutError(endpoint_url="http://here"),
            NotReady,
            "s3.endpoint_url: S3 does not answer in time",
        ),
        (ClosedError(endpoint_url="http://here"), NotReady, "s3.endpoint_url: Connection was closed"),
        (
            EndpointConnectionError(endpoint_url="http://here"),
            Unreachable,
            "s3.endpoint_url: nothing answers for S3 (s3.endpoint_url http://here, s3.region us-east-1)",
        ),
    ],
)
def test_what_s3_answers_for_a_bucket(error: Exception, outcome: type[Exception], line: str) -> None:
    with pytest.raises(outcome) as raised:
        check_bucket(raising(error), "s3.bucket", "b", S3)
    assert type(raised.value) is outcome
    assert str(raised.value).startswith(line)


def test_a_profile_that_is_not_there_is_one_line_and_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for step in aws_steps(load("s3", overrides={"s3.bucket": "bucket"}), lambda count: None):
        with pytest.raises(
            Unusable, match=r"^AWS credentials: The config profile \(nobodys\) could not be found$"
        ):
            step()


def test_a_bucket_that_may_not_be_listed_can_still_be_written_to() -> None:
    line = check_bucket(raising(answer("AccessDenied", 403)), "s3.bucket", "b", S3)
    assert "not allowed" in line
    assert check_bucket(dict, "s3.bucket", "b", S3) == 'bucket "b" is there'


@pytest.mark.parametrize(
    ("error", "outcome", "line"),
    [
        (
            answer("ResourceNotFoundException", 400),
            Unusable,
            'streamName: stream "s" does not exist (regionName eu-west-1)',
        ),
        (answer("ExpiredTokenException", 400), Unusable, "AWS credentials: Kinesis refuses them"),
        (answer("LimitExceededException", 400), NotReady, "Kinesis answers 400 LimitExceededException"),
        (answer("ValidationException", 400), Unusable, "streamName: "),
        (
            EndpointConnectionError(endpoint_url="x"),
            Unreachable,
            "regionName: nothing answers for Kinesis (regionName eu-west-1)",
        ),
    ],
)
def test_what_kinesis_answers_for_a_stream(error: Exception, outcome: type[Exception], line: str) -> None:
    with pytest.raises(outcome) as raised:
        check_stream(raising(error), "streamName", "s", AMAZON)
    assert type(raised.value) is outcome
    assert str(raised.value).startswith(line)


def test_the_state_of_a_stream_counts() -> None:
    def check(status: str) -> str:
        summary = {"StreamDescriptionSummary": {"StreamStatus": status, "OpenShardCount": 2}}
        return check_stream(lambda: summary, "streamName", "s", AMAZON)

    assert check("ACTIVE") == 'stream "s" has 2 open shards'
    assert check("UPDATING") == 'stream "s" has 2 open shards'
    with pytest.raises(NotReady, match="is being created"):
        check("CREATING")
    with pytest.raises(Unusable, match="is being deleted"):
        check("DELETING")


def test_a_stream_that_may_not_be_described_is_left_to_the_kcl() -> None:
    line = check_stream(raising(answer("AccessDeniedException", 400)), "streamName", "s", AMAZON)
    assert "not allowed to describe" in line


@pytest.mark.parametrize(("dead_letters", "steps"), [("bucket", 2), ("other", 3)])
def test_each_bucket_is_checked_once(dead_letters: str, steps: int) -> None:
    settings = load("s3", overrides={"s3.bucket": "bucket", "deadletter.bucket": dead_letters})
    assert len(aws_steps(settings, tell_shards=lambda number: None)) == steps


def test_the_open_shards_of_the_stream_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kinesis:
        def describe_stream_summary(self, **request: str) -> dict[str, Any]:
            assert request == {"StreamName": "s"}
            return {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", "OpenShardCount": 7}}

    monkeypatch.setattr(aws_checks, "stream_client", lambda *_: Kinesis())
    monkeypatch.setattr(aws_checks, "_bucket_steps", lambda _: [])
    monkeypatch.setattr(lease_table, "kcl_table_steps", lambda _: [])
    settings = load("s3", overrides={"s3.bucket": "bucket", "streamName": "s"})
    patience = Patience(timeout_seconds=1, monotonic=lambda: 0, pause=lambda _: False)
    assert prepare_backend(settings, patience, Log(backend="s3", level="ERROR", clock=lambda: 0)) == 7
    assert count_open_shards(settings) == 7


def test_open_shards_that_may_not_be_counted_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kinesis:
        def describe_stream_summary(self, **_: str) -> dict[str, Any]:
            raise answer("AccessDeniedException", 400)

    monkeypatch.setattr(aws_checks, "stream_client", lambda *_: Kinesis())
    assert count_open_shards(load("s3", overrides={"s3.bucket": "bucket", "streamName": "s"})) is None
