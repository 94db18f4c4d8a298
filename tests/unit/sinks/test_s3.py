"""S3 objects: keys that fix their content, and bytes that are the same every time (I2)."""

import io
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, ConnectionClosedError, NoCredentialsError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from isal import igzip
from urllib3 import HTTPResponse

from consumer.domain import columns as columns_module
from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import SetupError, TransientError
from consumer.native import library
from consumer.sinks.aws import s3_client
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.sink import PutRequest, S3Sink
from tests.unit.builders import chunk_of, chunk_of_records, record
from tests.unit.sinks.fake_s3 import FakeS3
from tests.unit.sinks.formats import ndjson
from tests.unit.sinks.json_bytes import is_json, payloads

MIDNIGHT_MS = 1_700_006_400_000
BY_RECORD_TIME = RecordTimes(time_field="t", time_format="iso8601", max_depth=500)


FORMAT_OPTIONS = ("compression_level", "validate_json", "max_depth", "zstandard")


def sink(client: Any = None, **options: Any) -> S3Sink:
    of_format = {name: options.pop(name) for name in FORMAT_OPTIONS if name in options}
    return S3Sink(
        **{
            "client": client or FakeS3(),
            "bucket": "logs",
            "prefix": "player-log/",
            "partition": "dt=%Y-%m-%d/hour=%H",
            "object_stem": "stream-shardId-000000000003",
            "object_format": ndjson(**of_format),
            **options,
        }
    )


def keys_and_lines(requests: Sequence[PutRequest]) -> dict[str, list[bytes]]:
    return {request.key: igzip.decompress(request.body).splitlines() for request in requests}


@pytest.mark.parametrize(
    ("chunk", "name"),
    [
        (chunk_of([b"1", b"2", b"3"], first=4957), "4957-3"),
        (chunk_of([b"1"], first=4957, sub=12), "4957.12-1"),
        (chunk_of([b"1"], first=int("4" * 56)), "4" * 56 + "-1"),
    ],
)
def test_I2_the_key_names_shard_first_record_and_number_of_records(chunk: Chunk, name: str) -> None:
    (request,) = sink().prepare(chunk).requests
    assert request.key == (f"player-log/dt=2023-11-14/hour=22/stream-shardId-000000000003-{name}.ndjson.gz")


def test_an_hour_boundary_gives_two_objects_under_one_name() -> None:
    arrivals = [MIDNIGHT_MS - 1, MIDNIGHT_MS, MIDNIGHT_MS - 2]
    chunk = chunk_of_records(
        [record(str(n).encode(), sequence="9", sub=n, arrival_ms=at) for n, at in enumerate(arrivals)]
    )
    name = "stream-shardId-000000000003-9-3.ndjson.gz"
    prepared = sink().prepare(chunk)
    assert keys_and_lines(prepared.requests) == {
        f"player-log/dt=2023-11-14/hour=23/{name}": [b"0", b"2"],
        f"player-log/dt=2023-11-15/hour=00/{name}": [b"1"],
    }
    assert [request.records for request in prepared.requests] == [2, 1]


def test_rejected_records_are_left_out_and_still_count_in_the_name() -> None:
    prepared = sink().prepare(chunk_of([b"1", b"nope", b"3"]))
    ((key, lines),) = keys_and_lines(prepared.requests).items()
    assert lines == [b"1", b"3"]
    assert key.endswith("-1-3.ndjson.gz")
    assert [(each.index, each.reason) for each in prepared.rejections] == [(1, "not_json")]


@pytest.mark.parametrize("hours", [1, 2])
def test_rejected_records_of_every_part_are_known_by_their_index_in_the_chunk(hours: int) -> None:
    count = 2 * columns_module.PART_RECORDS + 30
    bad = {0, columns_module.PART_RECORDS, count - 2, count - 1}
    chunk = chunk_of_records(
        [
            record(
                b"nope" if place in bad else b"1",
                sequence=str(place + 1),
                arrival_ms=MIDNIGHT_MS - place % hours,
            )
            for place in range(count)
        ]
    )
    prepared = sink().prepare(chunk)
    assert [each.index for each in prepared.rejections] == sorted(bad)
    assert len(prepared.requests) == hours
    assert sum(each.records for each in prepared.requests) == count - len(bad)


def test_a_chunk_of_rejected_records_makes_no_object() -> None:
    prepared = sink().prepare(chunk_of([b"nope", b""]))
    assert prepared.requests == []
    assert len(prepared.rejections) == 2


def test_a_partition_of_rejected_records_makes_no_object() -> None:
    chunk = chunk_of_records(
        [
            record(b"nope", sequence="1", arrival_ms=MIDNIGHT_MS - 1),
            record(b"2", sequence="2", arrival_ms=MIDNIGHT_MS),
        ]
    )
    (request,) = sink().prepare(chunk).requests
    assert "dt=2023-11-15" in request.key


@given(st.lists(payloads, min_size=1, max_size=6), st.integers(0, 3))
def test_I2_the_same_chunk_gives_the_same_bytes(batch: list[bytes], level: int) -> None:
    chunk = chunk_of(batch)
    assert sink(compression_level=level).prepare(chunk) == sink(compression_level=level).prepare(chunk)


@given(st.lists(payloads, min_size=1, max_size=40), st.integers(1, 7), st.booleans())
def test_I2_the_bytes_do_not_depend_on_how_records_came_or_on_the_C_library(
    batch: list[bytes], together: int, validates: bool
) -> None:
    whole = chunk_of(batch)
    pieces = Records()
    for start in range(0, len(batch), together):
        pieces.extend(whole.records, start, min(start + together, len(batch)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns_module, "PART_RECORDS", 5)
        rebuilt = Records()
        rebuilt.extend(pieces)
        other = Records.of(list(whole.records))
        first = sink(validate_json=validates).prepare(Chunk(rebuilt))
        patch.setattr(library, "load", lambda: None)
        assert sink(validate_json=validates).prepare(Chunk(other)) == first


def test_I2_the_bytes_do_not_depend_on_the_time_of_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    (now,) = sink().prepare(chunk_of([b"1"])).requests
    monkeypatch.setattr(time, "time", lambda: 2e9)
    (later,) = sink().prepare(chunk_of([b"1"])).requests
    assert now.body == later.body
    assert now.body[4:8] == b"\0\0\0\0"  # RFC 1952: no time of modification


@given(st.lists(payloads, min_size=1, max_size=6))
def test_I1_every_record_is_a_line_or_a_rejection(batch: list[bytes]) -> None:
    prepared = sink().prepare(chunk_of(batch))
    delivered = [json.loads(line) for lines in keys_and_lines(prepared.requests).values() for line in lines]
    assert delivered == [json.loads(payload) for payload in batch if is_json(payload)]
    assert len(delivered) + len(prepared.rejections) == len(batch)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (b'{"t":"2024-02-29T05:00:00Z"}', "dt=2024-02-29/hour=05"),
        (b'{"t":"2024-02-29T05:00:00+06:00"}', "dt=2024-02-28/hour=23"),
        (b'{"t":"garbage"}', "dt=2023-11-14/hour=22"),
        (b"{}", "dt=2023-11-14/hour=22"),
        (b"[1]", "dt=2023-11-14/hour=22"),
        (b'{"t":"9999-12-31T23:59:59.999999Z"}', "dt=9999-12-31/hour=23"),
        (b'{"t":"0001-01-01T00:00:00Z"}', "dt=0001-01-01/hour=00"),
    ],
)
def test_partitions_by_record_time_fall_back_to_arrival(payload: bytes, path: str) -> None:
    (request,) = sink(record_times=BY_RECORD_TIME).prepare(chunk_of([payload])).requests
    assert request.key.startswith(f"player-log/{path}/")


def test_without_validation_a_payload_that_is_not_json_goes_by_its_arrival() -> None:
    unchecked = sink(record_times=BY_RECORD_TIME, validate_json=False)
    (request,) = unchecked.prepare(chunk_of([b"\xffnope"])).requests
    assert keys_and_lines([request]) == {request.key: [b"\xffnope"]}
    assert "dt=2023-11-14/hour=22" in request.key


def test_an_object_is_put_with_its_options() -> None:
    client = FakeS3()
    options = {"StorageClass": "STANDARD_IA", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key"}
    delivery = sink(client, put_options=options)
    (request,) = delivery.prepare(chunk_of([b"1"])).requests
    outcome = delivery.send(request)
    assert client.puts == [
        {
            "Bucket": "logs",
            "Key": request.key,
            "Body": request.body,
            "ContentType": "application/gzip",
            **options,
        }
    ]
    assert (outcome.rejections, outcome.again, outcome.backoff) == ((), (), None)


def test_what_is_put_is_what_boto3_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = s3_client(region="us-east-1", endpoint_url=None, connections=1)
    delivery = sink(client, put_options={"Tagging": "a=b"})
    (request,) = delivery.prepare(chunk_of([b"1"])).requests
    with Stubber(client) as stub:
        expected = {"Bucket": "logs", "Key": request.key, "Body": request.body, "Tagging": "a=b"}
        stub.add_response("put_object", {}, {**expected, "ContentType": "application/gzip"})
        delivery.send(request)
        stub.add_client_error("put_object", "SlowDown", http_status_code=503)
        with pytest.raises(TransientError, match="SlowDown"):
            delivery.send(request)
        stub.assert_no_pending_responses()


def test_a_client_makes_one_attempt_and_addresses_other_endpoints_by_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = s3_client(region="eu-west-1", endpoint_url="http://127.0.0.1:1", connections=7)
    config = client.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.max_pool_connections == 7
    assert config.s3["addressing_style"] == "path"
    amazon = s3_client(region="eu-west-1", endpoint_url=None, connections=1).meta.config
    assert (amazon.s3 or {}).get("addressing_style") != "path"


@pytest.mark.parametrize(
    ("checksums", "variable", "sent"),
    [
        (None, "", True),
        (None, "when_required", False),
        ("when_required", "", False),
        ("when_required", "when_supported", False),
        ("when_supported", "when_required", True),
    ],
)
def test_a_store_that_refuses_checksums_gets_none_when_the_setting_says_so(
    monkeypatch: pytest.MonkeyPatch, checksums: str | None, variable: str, sent: bool
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    if variable:
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", variable)
    client = s3_client(
        region="eu-west-1", endpoint_url="https://store.example", connections=1, checksums=checksums
    )
    headers: list[str] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        headers.extend(name.lower() for name in request.headers)
        return AWSResponse(request.url, 200, {}, HTTPResponse(io.BytesIO(), preload_content=False))

    client.meta.events.register("before-send.s3.PutObject", answer)
    sink(client).send(PutRequest("key", b"body", 1))
    assert any("checksum" in name or name == "x-amz-trailer" for name in headers) is sent


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ClientError({"Error": {"Code": "NoSuchBucket"}}, "PutObject"), SetupError),
        (ClientError({"Error": {"Code": "SlowDown"}}, "PutObject"), TransientError),
        (ConnectionClosedError(endpoint_url="http://s3"), TransientError),
        (NoCredentialsError(), SetupError),
        (RuntimeError("Credentials were refreshed, but are still expired."), SetupError),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject"), SetupError),
    ],
)
def test_a_failed_put_says_what_to_do(failure: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught:
        sink(FakeS3(failures=[failure])).send(PutRequest("key", b"body", 1))
    if isinstance(caught.value, SetupError):
        about_bucket = isinstance(failure, ClientError)
        assert caught.value.setting == ("s3.bucket" if about_bucket else "AWS credentials")
    assert caught.value.__cause__ is failure


def test_what_is_not_json_stays_rejected() -> None:
    rejections = [Rejection(0, "not_json", "why")]
    prepared = sink().reconsider(chunk_of([b"nope"]), rejections)
    assert (prepared.requests, prepared.rejections) == ((), rejections)


def test_a_chunk_without_rejections_is_needed_no_more() -> None:
    assert sink().prepare(chunk_of([b"1", b"2"])).may_release_records
    assert not sink().prepare(chunk_of([b"1", b"nonsense"])).may_release_records
