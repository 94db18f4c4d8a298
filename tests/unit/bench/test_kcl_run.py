"""A run of the real KCL is void when a record is lost, comes twice, or was not asked for as in production."""

from collections.abc import Callable
from dataclasses import dataclass, field
from unittest.mock import create_autospec

import pytest

from tests.bench.inputs import number_sum
from tests.bench.jvm import Jvm
from tests.bench.kcl import BenchError
from tests.bench.kcl_run import Watch
from tests.bench.kinesis.answers import Script, State
from tests.bench.kinesis.stub import Stub
from tests.bench.shard_events import ShardEvents
from tests.bench.usage import TreeTime

SCRIPT = Script(shards=2, warm_up=10, measured=100, batch_records=50, record_bytes=700)
NUMBERS = 2 * (number_sum(10) + 2 * number_sum(50) + number_sum(1))
CBOR = "application/x-amz-cbor-1.1"


@dataclass
class FakeArrivals:
    """Everything that the stub has given is there by the next look, but for what is told to be lost."""

    now: int = 20
    opened: int = 222
    number_sum: int = NUMBERS
    checked: list[int] = field(default_factory=list)

    def open(self) -> None:
        self.now = self.opened

    def records(self) -> int:
        return self.now

    def check(self, records: int, number_sum: int) -> None:
        self.checked.append(records)
        if records == 222 and (self.now, self.number_sum) != (records, number_sum):
            raise BenchError("lost")


def watch(arrivals: FakeArrivals, state: State | None = None) -> Watch:
    stub = create_autospec(Stub, instance=True)
    stub.open.side_effect = arrivals.open
    stub.state.return_value = state or State(wires={CBOR})
    kcl = create_autospec(Jvm, instance=True)
    kcl.times.side_effect = [TreeTime(10.0, 1.0), TreeTime(14.0, 3.0)]
    kcl.thread_seconds.side_effect = [{"C2": 5.0, "main": 1.0}, {"C2": 6.5, "main": 1.0, "late": 2.0}]
    kcl.peak_rss_bytes.return_value = 100
    kcl.last_words.return_value = "last words"
    events = create_autospec(ShardEvents, instance=True)
    events.troubles = {"shardId-1": "503"}
    return Watch(kcl, stub, events, arrivals, still_seconds=0)


def test_what_is_spent_between_warm_up_and_delivery_is_the_cost() -> None:
    arrivals = FakeArrivals()
    done = watch(arrivals).measure(SCRIPT)
    assert (done.records, done.start, done.cost) == (200, TreeTime(10.0, 1.0), TreeTime(4.0, 2.0))
    assert (done.jvm_per_million, done.shards_per_million, done.per_million) == (20_000, 10_000, 30_000)
    assert (done.start_threads, done.threads) == (
        {"C2": 5.0, "main": 1.0},
        {"C2": 1.5, "main": 0.0, "late": 2.0},
    )
    assert arrivals.checked == [20, 222]


@pytest.mark.parametrize(
    ("arrivals", "message"),
    [
        (FakeArrivals(now=19), "19 of 20 records arrived, and no more: {'shardId-1': '503'}"),
        (FakeArrivals(opened=219), "219 of 220 records arrived"),
        (FakeArrivals(opened=221), "221 of 222 records arrived"),
        (FakeArrivals(opened=223), "lost"),
        (FakeArrivals(number_sum=NUMBERS + 1), "lost"),
    ],
)
def test_a_run_that_loses_a_record_or_gets_one_twice_is_void(arrivals: FakeArrivals, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        watch(arrivals).measure(SCRIPT)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (State(wires={CBOR}, refused=["GetRecords: no"]), "refused a request: GetRecords: no"),
        (State(wires={CBOR, "application/x-amz-json-1.1"}), "not ask for cbor, but for .*cbor.*, .*json"),
    ],
)
def test_a_run_with_other_requests_than_production_is_void(state: State, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        watch(FakeArrivals(), state).measure(SCRIPT)


@pytest.mark.parametrize("part", ["kcl", "events"])
def test_a_run_ends_with_the_process_that_fails(part: str) -> None:
    waiting = watch(FakeArrivals(now=0))
    check: Callable[[], None] = getattr(waiting, part).check
    check.side_effect = BenchError("ended")  # type: ignore[attr-defined]
    with pytest.raises(BenchError, match="ended"):
        waiting.measure(SCRIPT)
