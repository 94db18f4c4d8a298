"""Dead letters in S3: everything of the record, under a key that does not change."""

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoRegionError

from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import SetupError, TransientError
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from tests.unit.builders import chunk_of
from tests.unit.sinks.fake_s3 import FakeS3

PLACE = DeadLetterPlace(
    bucket="dead", prefix="deadletter/", application="app", stream="logs", shard="shardId-000000000003"
)
CHUNK = chunk_of([b"good", b"\xff", b"good", b""], first=4957)
REJECTIONS = [Rejection(3, "not_json", "empty payload"), Rejection(1, "no_key", "none")]


def sink(client: FakeS3, **options: Any) -> DeadLetterSink:
    return DeadLetterSink(PLACE, lambda: client, **options)


def test_one_object_a_chunk_with_one_line_a_record_in_shard_order() -> None:
    client = FakeS3()
    sink(client).write(CHUNK, REJECTIONS)
    ((key, body),) = client.bodies.items()
    assert key == "deadletter/app/dt=2023-11-14/logs-shardId-000000000003-4957-4.ndjson.gz"
    lines = [json.loads(line) for line in body.splitlines()]
    assert [line["sequence_number"] for line in lines] == ["4958", "4960"]
    assert [line["reason"] for line in lines] == ["no_key", "not_json"]
    assert [base64.b64decode(line["payload"]) for line in lines] == [b"\xff", b""]
    assert {(line["application"], line["stream"], line["shard"]) for line in lines} == {
        ("app", "logs", "shardId-000000000003")
    }


def test_the_key_names_the_sub_sequence_number_where_there_is_one() -> None:
    client = FakeS3()
    sink(client).write(chunk_of([b"x"], first=7, sub=2), [Rejection(0, "not_json", "")])
    assert client.puts[0]["Key"].endswith("/logs-shardId-000000000003-7.2-1.ndjson.gz")


def test_I2_the_same_dead_letters_are_the_same_bytes_in_whatever_order_they_were_found() -> None:
    client = FakeS3()
    dead_letters = sink(client)
    dead_letters.write(CHUNK, REJECTIONS)
    dead_letters.write(CHUNK, REJECTIONS[::-1])
    assert client.puts[0] == client.puts[1]
    assert client.puts[0]["Body"][4:8] == b"\0\0\0\0"  # RFC 1952: no time of modification


def test_what_is_put_goes_into_the_bucket_with_its_options() -> None:
    client = FakeS3()
    sink(client, put_options={"ServerSideEncryption": "aws:kms"}).write(CHUNK, REJECTIONS)
    (put,) = client.puts
    assert put["Bucket"] == "dead"
    assert put["ContentType"] == "application/gzip"
    assert put["ServerSideEncryption"] == "aws:kms"
    assert set(put) == {"Bucket", "Key", "Body", "ContentType", "ServerSideEncryption"}


def test_the_client_is_made_for_the_first_dead_letter_and_kept() -> None:
    made: list[FakeS3] = []

    def make() -> FakeS3:
        made.append(FakeS3())
        return made[-1]

    dead_letters = DeadLetterSink(PLACE, make)
    assert made == []
    dead_letters.write(CHUNK, REJECTIONS)
    dead_letters.write(CHUNK, REJECTIONS)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ClientError({"Error": {"Code": "SlowDown"}}, "PutObject"), TransientError),
        (EndpointConnectionError(endpoint_url="http://s3"), TransientError),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject"), SetupError),
        (RuntimeError("Credentials were refreshed, but are still expired."), SetupError),
    ],
)
def test_a_failed_write_says_what_to_do_and_can_be_repeated(
    failure: Exception, expected: type[Exception]
) -> None:
    client = FakeS3(failures=[failure])
    dead_letters = sink(client)
    with pytest.raises(expected) as caught:
        dead_letters.write(CHUNK, REJECTIONS)
    if isinstance(caught.value, SetupError):
        about_bucket = isinstance(failure, ClientError)
        assert caught.value.setting == ("deadletter.bucket" if about_bucket else "AWS credentials")
    dead_letters.write(CHUNK, REJECTIONS)
    assert len(client.puts) == 1


def test_a_client_that_cannot_be_made_is_asked_for_again() -> None:
    clients: list[FakeS3 | Exception] = [NoRegionError(), FakeS3()]

    def make() -> FakeS3:
        client = clients.pop(0)
        if isinstance(client, Exception):
            raise client
        return client

    dead_letters = DeadLetterSink(PLACE, make)
    with pytest.raises(SetupError):
        dead_letters.write(CHUNK, REJECTIONS)
    dead_letters.write(CHUNK, REJECTIONS)
