"""moto's Kinesis as the embedded stack corrects it, through boto3 and moto's WSGI application."""

import io
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from wsgiref.types import StartResponse

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.base_backend import BackendDict

from consumer.local.aws.server import Application, application

MAX_HASH_KEY = 2**128 - 1
MEBIBYTE = 1024 * 1024
RECORD_LIMIT = 10 * MEBIBYTE


class _Body(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def _call(app: Application, request: Any) -> AWSResponse:
    """Hand a request of boto3 to the application as a WSGI server would."""
    answer: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        answer.update(status=int(status.split()[0]), headers=dict(headers))

    start: StartResponse = start_response  # type: ignore[assignment]
    body = request.body or b""
    body = body if isinstance(body, bytes) else body.encode()
    headers = {name.upper().replace("-", "_"): _text(value) for name, value in request.headers.items()}
    environ = {
        **{f"HTTP_{name}": value for name, value in headers.items()},
        "REQUEST_METHOD": request.method,
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "CONTENT_TYPE": headers["CONTENT_TYPE"],
        "CONTENT_LENGTH": str(len(body)),
    }
    content = b"".join(app(environ, start))
    return AWSResponse(request.url, answer["status"], answer["headers"], _Body(content))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


@pytest.fixture(scope="module")
def app() -> Application:
    return application()


@pytest.fixture(scope="module")
def connected(app: Application) -> Iterator[Any]:
    client = boto3.client(
        "kinesis",
        region_name="us-east-1",
        endpoint_url="http://localhost",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}),
    )
    client.meta.events.register("before-send.kinesis", lambda request, **_: _call(app, request))
    yield client
    client.close()


@pytest.fixture
def client(connected: Any) -> Iterator[Any]:
    """A client of a Kinesis that holds the new stream "s" of two shards."""
    connected.create_stream(StreamName="s", ShardCount=2)
    yield connected
    BackendDict.reset()


FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"


def put(client: Any, *payloads: str, hash_key: int = 0) -> list[dict[str, str]]:
    records = [
        {"Data": payload.encode(), "PartitionKey": "k", "ExplicitHashKey": str(hash_key)}
        for payload in payloads
    ]
    answer = client.put_records(StreamName="s", Records=records)
    assert answer["FailedRecordCount"] == 0
    return list(answer["Records"])


def iterator(client: Any, shard: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    answer = client.get_shard_iterator(StreamName="s", ShardId=shard, ShardIteratorType=kind, **more)
    return str(answer["ShardIterator"])


def read(client: Any, shard: str, kind: str = "TRIM_HORIZON", **more: Any) -> list[str]:
    answer = client.get_records(ShardIterator=iterator(client, shard, kind, **more))
    return [record["Data"].decode() for record in answer["Records"]]


def shards(client: Any, **request: Any) -> dict[str, dict[str, Any]]:
    return {one["ShardId"]: one for one in client.list_shards(StreamName="s", **request)["Shards"]}


def test_records_come_back_in_order_with_all_that_was_put(client: Any) -> None:
    stored = put(client, "a", "b", "c")
    before = datetime.now(UTC) - timedelta(minutes=1)
    answer = client.get_records(ShardIterator=iterator(client, FIRST))
    assert [record["Data"] for record in answer["Records"]] == [b"a", b"b", b"c"]
    assert [record["PartitionKey"] for record in answer["Records"]] == ["k"] * 3
    numbers = [record["SequenceNumber"] for record in answer["Records"]]
    assert numbers == [one["SequenceNumber"] for one in stored]
    assert all(before < record["ApproximateArrivalTimestamp"] for record in answer["Records"])
    assert answer["MillisBehindLatest"] == 0


def test_sequence_numbers_are_sparse_of_full_length_and_rise_over_all_shards(client: Any) -> None:
    stored = [put(client, "x", hash_key=key)[0] for key in (0, MAX_HASH_KEY, 0, MAX_HASH_KEY)]
    numbers = [int(one["SequenceNumber"]) for one in stored]
    assert {one["ShardId"] for one in stored} == {FIRST, SECOND}
    assert numbers == sorted(set(numbers))
    assert all(len(str(number)) == 56 for number in numbers)
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(numbers))


def test_iterators_start_at_after_and_behind_a_sequence_number(client: Any) -> None:
    middle = put(client, "a", "b", "c")[1]["SequenceNumber"]
    assert read(client, FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=middle) == ["b", "c"]
    assert read(client, FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=middle) == ["c"]
    latest = iterator(client, FIRST, "LATEST")
    put(client, "d")
    assert [one["Data"] for one in client.get_records(ShardIterator=latest)["Records"]] == [b"d"]


def test_an_iterator_at_a_timestamp_takes_numbers_of_seconds(client: Any) -> None:
    put(client, "a")
    now = datetime.now(UTC)
    assert read(client, FIRST, "AT_TIMESTAMP", Timestamp=now - timedelta(hours=1)) == ["a"]
    assert read(client, FIRST, "AT_TIMESTAMP", Timestamp=now + timedelta(hours=1)) == []


def test_an_iterator_may_name_the_stream_by_its_arn(client: Any) -> None:
    put(client, "a")
    arn = client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    start = client.get_shard_iterator(StreamARN=arn, ShardId=FIRST, ShardIteratorType="TRIM_HORIZON")
    answer = client.get_records(StreamARN=arn, ShardIterator=start["ShardIterator"])
    assert [one["Data"] for one in answer["Records"]] == [b"a"]


def test_the_upper_bound_of_a_hash_key_range_is_inside_it(client: Any) -> None:
    upper = int(shards(client)[FIRST]["HashKeyRange"]["EndingHashKey"])
    assert put(client, "a", hash_key=upper)[0]["ShardId"] == FIRST
    assert put(client, "a", hash_key=upper + 1)[0]["ShardId"] == SECOND
    assert put(client, "a", hash_key=MAX_HASH_KEY)[0]["ShardId"] == SECOND


def test_a_split_leaves_the_parents_records_where_they_are(client: Any) -> None:
    stored = put(client, "a", "b")
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    assert read(client, FIRST) == ["a", "b"]
    number = stored[0]["SequenceNumber"]
    assert read(client, FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number) == ["b"]
    assert read(client, "shardId-000000000002") == []


def test_puts_after_a_split_go_to_the_children_and_have_higher_numbers(client: Any) -> None:
    before = put(client, "a")[0]
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    low, high = put(client, "b")[0], put(client, "c", hash_key=2**126)[0]
    assert (low["ShardId"], high["ShardId"]) == ("shardId-000000000002", "shardId-000000000003")
    assert int(before["SequenceNumber"]) < int(low["SequenceNumber"]) < int(high["SequenceNumber"])


def test_a_closed_shard_ends_and_names_its_children(client: Any) -> None:
    put(client, "a", "b")
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    first = client.get_records(ShardIterator=iterator(client, FIRST), Limit=1)
    assert "ChildShards" not in first
    last = client.get_records(ShardIterator=first["NextShardIterator"], Limit=1)
    assert [one["Data"] for one in last["Records"]] == [b"b"]
    assert last.get("NextShardIterator") is None
    assert [(one["ShardId"], one["ParentShards"]) for one in last["ChildShards"]] == [
        ("shardId-000000000002", [FIRST]),
        ("shardId-000000000003", [FIRST]),
    ]
    assert last["ChildShards"][1]["HashKeyRange"]["StartingHashKey"] == str(2**126)


def test_a_merge_closes_both_parents_and_its_child_names_both(client: Any) -> None:
    client.merge_shards(StreamName="s", ShardToMerge=SECOND, AdjacentShardToMerge=FIRST)
    assert put(client, "a")[0]["ShardId"] == "shardId-000000000002"
    for parent in (FIRST, SECOND):
        answer = client.get_records(ShardIterator=iterator(client, parent))
        assert [one["ParentShards"] for one in answer["ChildShards"]] == [[SECOND, FIRST]]
    child = shards(client)["shardId-000000000002"]
    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (SECOND, FIRST)
    assert child["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(MAX_HASH_KEY)}


def test_closed_shards_have_an_ending_sequence_number_past_their_last_record(client: Any) -> None:
    last = put(client, "a")[0]["SequenceNumber"]
    assert "EndingSequenceNumber" not in shards(client)[FIRST]["SequenceNumberRange"]
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    listed = shards(client)
    ending = int(listed[FIRST]["SequenceNumberRange"]["EndingSequenceNumber"])
    starting = int(listed["shardId-000000000002"]["SequenceNumberRange"]["StartingSequenceNumber"])
    assert int(last) < ending < starting


@pytest.mark.parametrize("parent", [FIRST, SECOND])
def test_a_closed_shard_cannot_be_split_or_merged_again(client: Any, parent: str) -> None:
    client.merge_shards(StreamName="s", ShardToMerge=FIRST, AdjacentShardToMerge=SECOND)
    with pytest.raises(ClientError, match="already been merged or split"):
        client.split_shard(StreamName="s", ShardToSplit=parent, NewStartingHashKey=str(2**126))
    with pytest.raises(ClientError, match="already been merged or split"):
        client.merge_shards(StreamName="s", ShardToMerge=FIRST, AdjacentShardToMerge=SECOND)


def test_only_adjacent_shards_merge(client: Any) -> None:
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    with pytest.raises(ClientError, match="not adjacent"):
        client.merge_shards(StreamName="s", ShardToMerge="shardId-000000000002", AdjacentShardToMerge=SECOND)


def test_list_shards_honours_its_filter(client: Any) -> None:
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    children = {"shardId-000000000002", "shardId-000000000003"}
    soon = datetime.now(UTC) + timedelta(minutes=1)
    expected: dict[str, tuple[dict[str, Any], set[str]]] = {
        "AT_TRIM_HORIZON": ({}, {FIRST, SECOND}),
        "FROM_TRIM_HORIZON": ({}, {FIRST, SECOND, *children}),
        "AT_LATEST": ({}, {SECOND, *children}),
        "AFTER_SHARD_ID": ({"ShardId": SECOND}, children),
        "AT_TIMESTAMP": ({"Timestamp": soon}, {SECOND, *children}),
        "FROM_TIMESTAMP": ({"Timestamp": soon}, {SECOND, *children}),
    }
    found = {
        kind: set(shards(client, ShardFilter={"Type": kind, **more})) for kind, (more, _) in expected.items()
    }
    assert found == {kind: wanted for kind, (_, wanted) in expected.items()}


def test_list_shards_pages_through_all_shards_with_the_filter_kept(client: Any) -> None:
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    found, request = [], {"StreamName": "s", "ShardFilter": {"Type": "AT_LATEST"}}
    while True:
        answer = client.list_shards(**request, MaxResults=1)
        found += [one["ShardId"] for one in answer["Shards"]]
        if not answer.get("NextToken"):
            break
        request = {"NextToken": answer["NextToken"]}
    assert found == [SECOND, "shardId-000000000002", "shardId-000000000003"]


def test_a_record_may_have_ten_mebibytes_with_its_key(client: Any) -> None:
    data = b"x" * (RECORD_LIMIT - 1)
    client.put_record(StreamName="s", Data=data, PartitionKey="k", ExplicitHashKey="0")
    answer = client.get_records(ShardIterator=iterator(client, FIRST))
    assert answer["Records"][0]["Data"] == data


def test_a_record_above_ten_mebibytes_is_refused(client: Any) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        client.put_record(StreamName="s", Data=b"x" * RECORD_LIMIT, PartitionKey="k")
    assert read(client, FIRST) + read(client, SECOND) == []


@pytest.mark.parametrize(("count", "size"), [(501, 1), (2, RECORD_LIMIT // 2)])
def test_a_put_above_500_records_or_ten_mebibytes_stores_nothing(client: Any, count: int, size: int) -> None:
    with pytest.raises(ClientError):
        client.put_records(StreamName="s", Records=[{"Data": bytes(size), "PartitionKey": "k"}] * count)
    assert read(client, FIRST) + read(client, SECOND) == []


@pytest.mark.parametrize("key", ["9" * 39, str(2**128), "-1", "abc"])
def test_a_wrong_explicit_hash_key_is_refused(client: Any, key: str) -> None:
    with pytest.raises(ClientError, match="ExplicitHashKey"):
        client.put_record(StreamName="s", Data=b"x", PartitionKey="k", ExplicitHashKey=key)


def test_a_missing_stream_and_a_missing_shard_are_named(client: Any) -> None:
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*nope"):
        client.put_records(StreamName="nope", Records=[{"Data": b"x", "PartitionKey": "k"}])
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        iterator(client, "shardId-000000000009")


def test_an_empty_payload_is_a_record(client: Any) -> None:
    put(client, "")
    assert read(client, FIRST) == [""]


def test_puts_keep_no_metrics(client: Any) -> None:
    from moto.cloudwatch.models import cloudwatch_backends

    put(client, "a")
    assert cloudwatch_backends["123456789012"]["us-east-1"].metric_data == []


def test_reads_while_puts_and_splits_run_find_every_record(app: Application, client: Any) -> None:
    failures: list[BaseException] = []

    def guarded(work: Any) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - handed to the test below
                failures.append(error)

        return threading.Thread(target=run)

    def feed() -> None:
        for number in range(15):
            put(client, *(json.dumps([number, index]) for index in range(20)))

    def look() -> None:
        for _ in range(15):
            read(client, FIRST)
            client.list_shards(StreamName="s")

    threads = [guarded(feed), guarded(feed), guarded(look), guarded(look)]
    for thread in threads:
        thread.start()
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(2**126))
    for thread in threads:
        thread.join()
    assert failures == []
    found = [record for shard in shards(client) for record in read(client, shard)]
    assert len(found) == 2 * 15 * 20


def test_a_reader_is_told_by_its_access_key_with_the_end_of_a_closed_shard(
    client: Any, app: Application
) -> None:
    client.merge_shards(StreamName="s", ShardToMerge=FIRST, AdjacentShardToMerge=SECOND)
    child = "shardId-000000000002"
    assert read(client, FIRST) == []
    with pytest.raises(ClientError):
        client.get_records(ShardIterator="none")
    read(client, child)
    told = json.loads(_get(app, "/_reads/us-east-1/s"))
    assert told["parents"] == {FIRST: [], SECOND: [], child: [FIRST, SECOND]}
    assert told["read"].keys() == {"test"}
    assert told["read"]["test"].keys() == {FIRST, child}
    assert told["at_end"] == {"test": [FIRST]}
    assert "no stream" in _get(app, "/_reads/us-east-1/t")


def test_what_the_leases_say_is_told_besides(client: Any, app: Application) -> None:
    with _dynamodb(app) as dynamodb:
        for table, key in (("leases", "leaseKey"), ("others", "key")):
            dynamodb.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        for shard, checkpoint in ((FIRST, "SHARD_END"), (SECOND, "TRIM_HORIZON")):
            dynamodb.put_item(
                TableName="leases", Item={"leaseKey": {"S": shard}, "checkpoint": {"S": checkpoint}}
            )
        dynamodb.put_item(TableName="leases", Item={"leaseKey": {"S": "new"}})
    assert json.loads(_get(app, "/_reads/us-east-1/s"))["checkpointed"] == {"leases": [FIRST]}


@contextmanager
def _dynamodb(app: Application) -> Iterator[Any]:
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url="http://localhost",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.meta.events.register("before-send.dynamodb", lambda request, **_: _call(app, request))
    yield client
    client.close()


def _get(app: Application, path: str) -> str:
    return b"".join(app({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda *_: None)).decode()
