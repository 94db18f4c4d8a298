import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from consumer.local.stack import Stack
from tests.bench.kcl import BenchError
from tests.bench.latency import Counts
from tests.bench.latency_feed import Feed, Looks

WAIT_SECONDS = 60


class Kinesis:
    """Says when it was called twice, or has refused records."""

    def __init__(self, *, refused: int) -> None:
        self.calls: list[list[dict[str, Any]]] = []
        self.heard = threading.Event()
        self._refused = refused

    def put_records(self, **request: Any) -> dict[str, int]:
        self.calls.append(request["Records"])
        if len(self.calls) == 2 or self._refused:
            self.heard.set()
        return {"FailedRecordCount": self._refused}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneClientStack(Stack):
    kinesis: Kinesis

    def client(self, service: str, **config: Any) -> Any:
        assert service == "kinesis"
        return self.kinesis


def stack_of(kinesis: Kinesis) -> Stack:
    return OneClientStack(aws_endpoint="", bigquery_endpoint="", bigquery_grpc="", kinesis=kinesis)


def fed(kinesis: Kinesis) -> Feed:
    with Feed(stack_of(kinesis), rate=1000, lane_of=lambda player: player[0]) as feed:
        assert kinesis.heard.wait(WAIT_SECONDS)
    return feed


def test_each_call_is_remembered_with_its_records_by_lane() -> None:
    kinesis = Kinesis(refused=0)
    feed = fed(kinesis)
    feed.check()
    assert [sum(counts.values()) for _, counts in feed.puts] == [len(call) for call in kinesis.calls]
    moments = [moment for moment, _ in feed.puts]
    assert moments == sorted(moments)
    for (_, counts), call in zip(feed.puts, kinesis.calls, strict=True):
        assert len(call) == 100, "a tenth of a second of 1,000 a second"
        assert counts.keys() == {entry["PartitionKey"][0] for entry in call}


def test_a_record_that_the_stream_refuses_voids_the_run() -> None:
    feed = fed(Kinesis(refused=3))
    assert feed.puts == []
    with pytest.raises(BenchError, match="3 records were refused"):
        feed.check()


def looked(count: Callable[[], Counts], looked_often: threading.Event) -> Looks:
    with Looks(count) as looks:
        assert looked_often.wait(WAIT_SECONDS)
    return looks


def test_looks_are_kept_in_order() -> None:
    enough, numbers = threading.Event(), itertools.count(1)

    def count() -> Counts:
        number = next(numbers)
        if number == 3:
            enough.set()
        return {"a": number}

    looks = looked(count, enough)
    looks.check()
    assert [counts for _, counts in looks.seen][:4] == [{}, {"a": 1}, {"a": 2}, {"a": 3}]
    assert looks.latest() == looks.seen[-1][1]


def test_a_look_that_fails_voids_the_run() -> None:
    failed = threading.Event()

    def count() -> Counts:
        failed.set()
        raise OSError("no answer")

    looks = looked(count, failed)
    with pytest.raises(BenchError, match="no answer"):
        looks.check()
