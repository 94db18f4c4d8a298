"""The stub's answers: what the KCL would find in a stream, one prepared batch an answer."""

from typing import Any

import pytest

from tests.bench.inputs import number_sum, payload
from tests.bench.kinesis.answers import Kinesis, Script
from tests.bench.kinesis.wire import BY_NAME, Cbor, Json, Wire

SCRIPT = Script(shards=3, warm_up=5, measured=7, batch_records=4, record_bytes=200, arrivals_per_second=1)
RECORDS_OF_ANSWERS = [4, 1, 4, 3, 1]


@pytest.fixture(params=[Cbor, Json])
def wire(request: pytest.FixtureRequest) -> Wire:
    made: Wire = request.param()
    return made


class Client:
    def __init__(self, wire: Wire, script: Script = SCRIPT) -> None:
        self.wire = wire
        self.kinesis = Kinesis(script)

    def ask(self, action: str, **request: object) -> dict[str, Any]:
        body = self.wire.encode(request)
        answer = self.kinesis.answer(f"Kinesis_20131202.{action}", self.wire.content_type, body)
        assert answer.content_type == self.wire.content_type
        return {"status": answer.status, **self.wire.decode(answer.body)}

    def iterator(self, kind: str = "TRIM_HORIZON", **request: object) -> str:
        found = self.ask(
            "GetShardIterator", ShardId="shardId-000000000001", ShardIteratorType=kind, **request
        )
        return str(found["ShardIterator"])

    def pages(self, iterator: str) -> list[dict[str, Any]]:
        """Up to the first page without records."""
        pages: list[dict[str, Any]] = []
        while True:
            page = self.ask("GetRecords", ShardIterator=iterator, Limit=4)
            if not page["Records"]:
                return pages
            pages.append(page)
            iterator = page["NextShardIterator"]


def records_of(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for page in pages for record in page["Records"]]


def test_a_shard_holds_the_warm_up_until_the_stub_is_opened(wire: Wire) -> None:
    client = Client(wire)
    warm_up = client.pages(client.iterator())
    client.kinesis.open()
    everything = client.pages(client.iterator())
    assert [len(page["Records"]) for page in warm_up] == RECORDS_OF_ANSWERS[:2]
    assert [len(page["Records"]) for page in everything] == RECORDS_OF_ANSWERS


def test_a_shard_that_was_empty_goes_on_where_it_ended(wire: Wire) -> None:
    client = Client(wire)
    waiting = client.pages(client.iterator())[-1]["NextShardIterator"]
    empty = client.ask("GetRecords", ShardIterator=waiting)
    assert (empty["Records"], empty["MillisBehindLatest"]) == ([], 0)
    client.kinesis.open()
    assert [len(page["Records"]) for page in client.pages(empty["NextShardIterator"])] == RECORDS_OF_ANSWERS[
        2:
    ]


def test_only_the_last_answer_is_at_the_tip(wire: Wire) -> None:
    client = Client(wire)
    client.kinesis.open()
    behind = [page["MillisBehindLatest"] > 0 for page in client.pages(client.iterator())]
    assert behind == [True] * 4 + [False]


def test_sequence_numbers_rise_and_have_full_length(wire: Wire) -> None:
    client = Client(wire)
    client.kinesis.open()
    sequences = [record["SequenceNumber"] for record in records_of(client.pages(client.iterator()))]
    assert sequences == sorted(set(sequences), key=int)
    assert {len(sequence) for sequence in sequences} == {56}


def test_arrival_times_never_fall_and_the_last_seals_what_is_before_it() -> None:
    client = Client(Cbor())
    client.kinesis.open()
    times = [record["ApproximateArrivalTimestamp"] for record in records_of(client.pages(client.iterator()))]
    assert times == sorted(times)
    assert times[4] - times[0] == 4000, "records of a second each"
    assert times[-1] - times[-2] == 3_600_000


def test_json_has_moments_in_seconds() -> None:
    client = Client(Json())
    first = records_of(client.pages(client.iterator()))[0]
    assert first["ApproximateArrivalTimestamp"] == 1_700_000_000


def test_payloads_are_those_of_the_other_levels() -> None:
    client = Client(Cbor())
    records = records_of(client.pages(client.iterator()))
    assert [record["Data"] for record in records] == [payload(index, 200) for index in (0, 1, 2, 3, 0)]


def test_the_numbers_in_the_payloads_are_told_beforehand() -> None:
    assert SCRIPT.number_sum(warm_up=True) == 3 * (number_sum(4) + number_sum(1))
    assert SCRIPT.number_sum(warm_up=False) == 3 * (number_sum(4) + number_sum(3))


def test_reading_goes_on_at_and_after_a_sequence_number(wire: Wire) -> None:
    client = Client(wire)
    client.kinesis.open()
    pages = client.pages(client.iterator())
    last_of_second = pages[1]["Records"][-1]["SequenceNumber"]
    at = client.iterator("AT_SEQUENCE_NUMBER", StartingSequenceNumber=last_of_second)
    after = client.iterator("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=last_of_second)
    assert (client.pages(at), client.pages(after)) == (pages[1:], pages[2:])


def test_the_shards_share_all_hash_keys(wire: Wire) -> None:
    shards = Client(wire).ask("ListShards", StreamName="player-logs")["Shards"]
    ranges = [shard["HashKeyRange"] for shard in shards]
    ends = [(int(each["StartingHashKey"]), int(each["EndingHashKey"])) for each in ranges]
    assert [shard["ShardId"] for shard in shards] == [f"shardId-00000000000{place}" for place in range(3)]
    assert (ends[0][0], ends[-1][1]) == (0, 2**128 - 1)
    assert [start for start, _ in ends[1:]] == [end + 1 for _, end in ends[:-1]]


@pytest.mark.parametrize(
    "request_", [{"StreamName": "logs"}, {"StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/logs"}]
)
def test_a_stream_has_any_name(wire: Wire, request_: dict[str, str]) -> None:
    summary = Client(wire).ask("DescribeStreamSummary", **request_)["StreamDescriptionSummary"]
    assert (summary["StreamName"], summary["StreamStatus"], summary["OpenShardCount"]) == (
        "logs",
        "ACTIVE",
        3,
    )
    assert summary["StreamARN"].endswith(":stream/logs")


def test_what_the_stub_has_no_answer_for_is_refused_and_remembered(wire: Wire) -> None:
    client = Client(wire)
    assert client.ask("PutRecords")["__type"] == "UnknownOperationException"
    assert client.ask("GetRecords", ShardIterator=client.iterator(), Limit=3)["status"] == 400
    assert client.ask("GetShardIterator", ShardId="x", ShardIteratorType="LATEST")["status"] == 400
    assert client.ask("GetRecords")["__type"] == "SerializationException"
    kinds = [line.partition(":")[0] for line in client.kinesis.state.refused]
    assert kinds == ["PutRecords", "GetRecords", "GetShardIterator", "GetRecords"]


def test_a_request_is_read_as_the_sdk_writes_it() -> None:
    """With maps of indefinite length."""
    written = b"\xbf\x6aStreamName\x64logs\xff"
    answer = Kinesis(SCRIPT).answer("Kinesis_20131202.DescribeStreamSummary", Cbor.content_type, written)
    assert Cbor().decode(answer.body)["StreamDescriptionSummary"]["StreamName"] == "logs"


@pytest.mark.parametrize("body", [b"", b"\xff", b"\xbf\x61a\xff", b"{}}", b"\x81" * 20_000, b'{"a"'])
def test_what_is_no_request_is_refused(wire: Wire, body: bytes) -> None:
    kinesis = Kinesis(SCRIPT)
    assert kinesis.answer("Kinesis_20131202.ListShards", wire.content_type, body).status == 400
    assert kinesis.state.refused[0].startswith("ListShards: SerializationException")


def test_what_was_asked_is_counted(wire: Wire) -> None:
    client = Client(wire)
    client.kinesis.prepare()
    client.pages(client.iterator())
    state = client.kinesis.state
    assert state.calls == {"GetShardIterator": 1, "GetRecords": 3}
    assert (state.records, state.wires, state.refused) == (5, {wire.content_type}, [])
    assert state.wires <= {each.content_type for each in BY_NAME.values()}
