"""PutRecords: everything is sent once, what is refused is sent again, and what stays refused is told."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from consumer.local.producer import Producer, PutError, Retry, paced
from consumer.local.records import Outgoing

Refusal = Callable[[int, list[dict[str, Any]]], set[int]]


class FakeKinesis:
    """Stores records in order; `refuse` tells, by call number, the indices to refuse."""

    def __init__(self, refuse: Refusal = lambda call, records: set()) -> None:
        self.stored: list[bytes] = []
        self.calls: list[int] = []
        self._refuse = refuse

    def put_records(self, **request: Any) -> dict[str, Any]:
        records = request["Records"]
        refused = self._refuse(len(self.calls), records)
        self.calls.append(len(records))
        results = []
        for index, record in enumerate(records):
            if index in refused:
                results.append(
                    {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow"}
                )
            else:
                self.stored.append(record["Data"])
                results.append({"SequenceNumber": "1", "ShardId": "shardId-000000000000"})
        return {"FailedRecordCount": len(refused), "Records": results}


def batch(*names: str) -> list[Outgoing]:
    return [Outgoing(data=name.encode(), partition_key=name) for name in names]


def producer(client: FakeKinesis, **more: Any) -> Producer:
    return Producer(
        client=client, stream="s", sleep=lambda seconds: None, chance=lambda: 1.0, in_flight=1, **more
    )


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutRecords")


def test_all_batches_are_sent() -> None:
    client = FakeKinesis()
    sent = producer(client).send([batch("a", "b"), batch("c")])
    assert client.stored == [b"a", b"b", b"c"]
    assert (sent.records, sent.bytes, sent.calls, sent.resent, sent.failed) == (3, 3, 2, 0, 0)


def test_only_the_refused_records_are_sent_again() -> None:
    client = FakeKinesis(lambda call, records: {1, 3} if call == 0 else set())
    sent = producer(client).send([batch("a", "b", "c", "d")])
    assert client.stored == [b"a", b"c", b"b", b"d"]
    assert client.calls == [4, 2]
    assert (sent.records, sent.resent, sent.failed) == (4, 2, 0)


def test_records_refused_to_the_last_attempt_are_counted_as_failed() -> None:
    client = FakeKinesis(
        lambda call, records: {index for index, one in enumerate(records) if one["Data"] == b"b"}
    )
    sent = producer(client, retry=Retry(attempts=3)).send([batch("a", "b"), batch("c")])
    assert client.stored == [b"a", b"c"]
    assert (sent.records, sent.failed) == (2, 1)


@pytest.mark.parametrize(
    "failure", [error("InternalFailure"), EndpointConnectionError(endpoint_url="http://x")]
)
def test_a_call_that_fails_for_a_passing_reason_is_repeated_whole(failure: Exception) -> None:
    def refuse(call: int, records: list[dict[str, Any]]) -> set[int]:
        if not failures:
            return set()
        raise failures.pop()

    failures = [failure, failure]
    client = FakeKinesis(refuse)
    sent = producer(client).send([batch("a", "b")])
    assert client.stored == [b"a", b"b"]
    assert (sent.records, sent.resent, sent.failed) == (2, 4, 0)


@pytest.mark.parametrize(
    "code", ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"]
)
def test_a_call_refused_for_good_ends_the_sending(code: str) -> None:
    def refuse(call: int, records: list[dict[str, Any]]) -> set[int]:
        raise error(code)

    with pytest.raises(PutError, match=code):
        producer(FakeKinesis(refuse)).send([batch("a"), batch("b")])


def test_the_wait_before_a_repeat_grows_with_jitter_up_to_its_limit() -> None:
    retry = Retry(base_seconds=0.1, max_seconds=1.0)
    assert [retry.delay(attempt, 1.0) for attempt in (1, 2, 3, 4, 50)] == [0.2, 0.4, 0.8, 1.0, 1.0]
    assert retry.delay(3, 0.0) == 0.0


def test_the_wait_before_a_repeat_is_slept() -> None:
    waits: list[float] = []
    client = FakeKinesis(lambda call, records: {0} if call < 2 else set())
    sender = producer(client)
    sender.sleep = waits.append
    sender.send([batch("a")])
    assert waits == [0.2, 0.4]


def test_records_that_landed_in_the_wrong_place_are_replaced_and_not_counted() -> None:
    replacement = batch("a2")
    client = FakeKinesis()
    misplaced = lambda record, shard: replacement if record.data == b"a" else []  # noqa: E731
    sent = producer(client, placed=misplaced).send([batch("a", "b")])
    assert client.stored == [b"a", b"b", b"a2"]
    assert (sent.records, sent.resent) == (2, 1)


def test_no_more_calls_are_out_than_allowed() -> None:
    pulled: list[int] = []
    client = FakeKinesis()

    def batches() -> Any:
        for number in range(10):
            pulled.append(number)
            assert len(pulled) - len(client.calls) <= 3
            yield batch(str(number))

    sender = producer(client)
    sender.in_flight = 2
    assert sender.send(batches()).records == 10


def test_a_rate_spreads_batches_over_time() -> None:
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    assert len(list(paced([batch(*"abcd")] * 3, 2.0, clock=lambda: now[0], sleep=sleep))) == 3
    assert waits == [2.0, 2.0]
