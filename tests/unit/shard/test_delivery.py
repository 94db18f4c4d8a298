"""From a chunk to its durability: what is sent, waited for, repeated and buried, with a backend that is scripted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import gevent
import pytest
from gevent.event import Event as GeventEvent
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection, ShareGuard, ShareLimit
from consumer.domain.errors import RequestRefused, SetupError, Superseded, Throttled, TransientError
from consumer.domain.retries import RetryPolicy
from consumer.domain.taps import Sample
from consumer.domain.unread_times import COUNTER, Unread
from consumer.shard.delivery.delivery import Delivery, Waiting
from consumer.shard.delivery.taps import Listeners, Taps
from consumer.sinks.base import Outcome, Prepared, Unordered
from tests.examples import examples
from tests.unit.shard.fakes import Clock, Ear, Log, chunk_of, messages, quiet_status, record

type Part = tuple[int, ...]
"""A request: indices of records in the chunk."""

type Step = Exception | Outcome[Part] | Callable[[], None]

SAFETY_SECONDS = 10
DOWN = TransientError("down")
SLOWER = Throttled("slower")
DENIED = SetupError("denied", setting="s3.bucket")
GONE = Superseded("taken over")
NO_LIMIT = ShareLimit(1.0, 10)


@dataclass
class FakeSink(Unordered):
    """Every record is a request of its own unless `parts` says otherwise; `script` holds what meets each request."""

    log: Log
    parts: Sequence[Part] | None = None
    unreadable: tuple[int, ...] = ()
    script: dict[Part, list[Step]] = field(default_factory=dict)
    poison: frozenset[int] = frozenset()
    mended: bool = False
    lanes: dict[int, str] = field(default_factory=dict)
    """By the first record of a request; one for all others."""
    in_order: bool = False
    unprepared: list[Exception] = field(default_factory=list)
    unasked: list[Exception] = field(default_factory=list)
    may_release_records: bool = False
    unread: Unread | None = None

    def lane(self, request: Part) -> str:
        return self.lanes.get(request[0], "")

    def destination(self, request: Part, index: int) -> str | None:
        return f"table {request[0]}" if index in request else None

    def prepare(self, chunk: Chunk) -> Prepared[Part]:
        if self.unprepared:
            error = self.unprepared.pop(0)
            self.log.append(f"prepare {chunk.name}: {error}")
            raise error
        readable = [index for index in range(len(chunk.records)) if index not in self.unreadable]
        parts = [(index,) for index in readable] if self.parts is None else self.parts
        return Prepared(
            parts,
            rejected(*self.unreadable),
            may_release_records=self.may_release_records,
            unread=self.unread,
        )

    def send(self, request: Part) -> Outcome[Part]:
        steps = self.script.get(request, [])
        step = steps.pop(0) if steps else Outcome[Part]()
        if isinstance(step, Exception):
            self.log.append(f"send {request}: {step}")
            raise step
        if isinstance(step, Outcome):
            self.log.append(f"send {request}")
            return self._unless_poisoned(request, step)
        step()
        self.log.append(f"send {request}")
        return Outcome()

    def _unless_poisoned(self, request: Part, outcome: Outcome[Part]) -> Outcome[Part]:
        if self.poison.intersection(request):
            raise RequestRefused("bad record")
        return outcome

    def split(self, request: Part, refusal: str) -> Outcome[Part]:
        if len(request) == 1:
            return Outcome([Rejection(request[0], "rejected", refusal)])
        half = len(request) // 2
        return Outcome(again=(request[:half], request[half:]))

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[Part]:
        self.log.append("reconsider")
        if self.unasked:
            raise self.unasked.pop()
        if self.mended:
            return Prepared([tuple(rejection.index for rejection in rejections)])
        return Prepared((), rejections)


@dataclass
class FakeDeadLetters:
    log: Log
    failures: list[Exception] = field(default_factory=list)

    def write(self, chunk: Chunk, rejections: Sequence[Rejection]) -> str:
        if self.failures:
            failure = self.failures.pop(0)
            self.log.append(f"bury: {failure}")
            raise failure
        self.log.append(f"bury {sorted(rejection.index for rejection in rejections)}")
        return f"s3://dead/{chunk.name}"


class Bench:
    """A delivery with everything around it; waits are logged and take no time."""

    def __init__(
        self, *, limit: ShareLimit = NO_LIMIT, concurrency: int = 4, listeners: Listeners | None = None
    ) -> None:
        self.log = Log()
        self.sink = FakeSink(self.log)
        self.dead_letters = FakeDeadLetters(self.log)
        self.status, self.events = quiet_status(Clock())
        self.bug = GeventEvent()
        self.superseded = GeventEvent()
        self.on_wait: Callable[[], None] = lambda: None
        self.delivery = Delivery(
            sink=self.sink,
            dead_letters=self.dead_letters,
            guard=ShareGuard(limit),
            waiting=Waiting(
                policy=RetryPolicy(base_seconds=1, max_seconds=30), sleep=self._sleep, random=lambda: 1.0
            ),
            concurrency=concurrency,
            status=self.status,
            taps=None
            if listeners is None
            else Taps(listeners, shard=self.status.shard, find=self.sink.destination),
            on_bug=self.bug.set,
            on_superseded=self.superseded.set,
        )

    def start(self, chunk: Chunk) -> GeventEvent:
        durable = GeventEvent()

        def on_durable() -> None:
            self.log.append(f"durable {chunk.name}")
            durable.set()

        self.delivery.start(chunk, on_durable)
        return durable

    def deliver(self, chunk: Chunk) -> list[str]:
        assert self.start(chunk).wait(SAFETY_SECONDS), self.log
        return list(self.log)

    def _sleep(self, seconds: float) -> None:
        self.log.append(f"wait {seconds:g}s")
        self.on_wait()
        gevent.sleep(0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


ONE = chunk_of(record(1))
TWO = chunk_of(record(1), record(2))
FOUR = chunk_of(*(record(number) for number in range(4)))


def rejected(*indices: int) -> list[Rejection]:
    return [Rejection(index, "not_json", "as scripted") for index in indices]


def test_a_chunk_is_durable_once_all_of_its_requests_are(bench: Bench) -> None:
    assert bench.deliver(TWO) == ["send (0,)", "send (1,)", "durable 1-2"]
    assert bench.status.counters["records_delivered"] == 2


def test_times_that_hold_none_are_counted_and_told_once(bench: Bench) -> None:
    bench.sink.unread = Unread(2, "'20261120101112Z'")
    bench.sink.unprepared = [DOWN]
    bench.deliver(TWO)
    bench.sink.unread = Unread(1, "'soon'")
    bench.deliver(ONE)
    bench.sink.unread = None
    bench.deliver(FOUR)
    assert bench.status.counters[COUNTER] == 3
    [warning] = [each for each in messages(bench.events) if "record.time_format" in each]
    assert warning.startswith("WARNING: record.time_field holds '20261120101112Z', which is no time")
    assert "Set record.time_format" in warning


def test_a_transient_error_is_repeated_with_growing_waits(bench: Bench) -> None:
    bench.sink.script = {(0,): [DOWN, DOWN, DOWN]}
    assert bench.deliver(ONE) == [
        "send (0,): down",
        "wait 1s",
        "send (0,): down",
        "wait 2s",
        "send (0,): down",
        "wait 4s",
        "send (0,)",
        "durable 1-1",
    ]
    assert messages(bench.events) == [
        "WARNING: delivery failed and is repeated (attempt 1): down",
        "WARNING: delivery failed and is repeated (attempt 2): down",
        "INFO: delivery works again after 3 failed attempts",
    ]


def test_a_setup_error_is_repeated_more_slowly_and_louder(bench: Bench) -> None:
    bench.sink.script = {(0,): [DENIED, DENIED]}
    assert [line for line in bench.deliver(ONE) if line.startswith("wait")] == ["wait 10s", "wait 20s"]
    assert messages(bench.events)[0].startswith("ERROR: delivery failed")
    assert "s3.bucket" in messages(bench.events)[0]


def test_an_outage_is_never_given_up(bench: Bench) -> None:
    """I6"""
    bench.sink.script = {(0,): [DOWN] * 500}
    assert bench.deliver(ONE)[-3:] == ["wait 30s", "send (0,)", "durable 1-1"]


def test_other_chunks_go_on_while_one_is_repeated(bench: Bench) -> None:
    other = chunk_of(record(8), record(9))
    bench.sink.parts = [(0,)]
    mended = GeventEvent()
    bench.sink.script = {(0,): [DOWN]}
    bench.on_wait = lambda: mended.wait(SAFETY_SECONDS)
    stuck = bench.start(ONE)
    assert bench.start(other).wait(SAFETY_SECONDS)
    assert not stuck.is_set()
    assert bench.status._retrying
    mended.set()
    assert stuck.wait(SAFETY_SECONDS)
    assert not bench.status._retrying


def test_a_request_that_waits_to_be_repeated_leaves_its_place_to_others() -> None:
    bench = Bench(concurrency=1)
    bench.sink.script = {(0,): [DOWN]}
    assert bench.deliver(TWO) == ["send (0,): down", "wait 1s", "send (1,)", "send (0,)", "durable 1-2"]


def test_no_more_requests_than_the_concurrency_are_at_the_backend() -> None:
    bench = Bench(concurrency=2)
    at_once = [0]
    most = [0]

    def step() -> None:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        gevent.sleep(0)
        at_once[0] -= 1

    bench.sink.script = {(index,): [step] * 9 for index in range(4)}
    waiting = [bench.start(FOUR), bench.start(ONE), bench.start(TWO)]
    assert all(durable.wait(SAFETY_SECONDS) for durable in waiting)
    assert most == [2]


def test_a_refused_request_is_split_down_to_the_bad_record(bench: Bench) -> None:
    bench.sink.parts = [(0, 1, 2, 3)]
    bench.sink.poison = frozenset({2})
    assert bench.deliver(FOUR) == [
        "send (0, 1, 2, 3)",
        "send (2, 3)",
        "send (3,)",
        "send (2,)",
        "send (0, 1)",
        "bury [2]",
        "durable 0-4",
    ]
    assert bench.status.counters["dead_letters"] == 1


def test_rows_that_are_stopped_by_a_neighbour_are_sent_again_at_once(bench: Bench) -> None:
    bench.sink.parts = [(0, 1)]
    bench.sink.script = {(0, 1): [Outcome(rejected(0), again=((1,),))]}
    assert bench.deliver(TWO) == ["send (0, 1)", "send (1,)", "bury [0]", "durable 1-2"]
    assert bench.status.counters["retries"] == 0


def test_rows_that_the_backend_wants_again_later_are_sent_after_a_wait_and_said_to_be(bench: Bench) -> None:
    bench.sink.parts = [(0, 1)]
    again = Outcome(again=((1,),), backoff=TransientError("backendError"))
    bench.sink.script = {(0, 1): [again], (1,): [again]}
    assert bench.deliver(TWO) == [
        "send (0, 1)",
        "wait 1s",
        "send (1,)",
        "wait 2s",
        "send (1,)",
        "durable 1-2",
    ]
    assert messages(bench.events)[0] == "WARNING: delivery failed and is repeated (attempt 1): backendError"
    assert messages(bench.events)[-1] == "INFO: delivery works again after 2 failed attempts"


def test_a_throttled_lane_waits_longer_with_every_refusal_whichever_request_it_meets() -> None:
    bench = Bench(concurrency=2)
    bench.sink.script = {(index,): [SLOWER] for index in range(4)}
    log = bench.deliver(FOUR)
    assert [line for line in log if line.startswith("wait")] == ["wait 1s", "wait 2s", "wait 4s", "wait 8s"]
    assert log[-1] == "durable 0-4"


def test_a_throttled_lane_gets_fewer_requests_and_more_again_while_they_pass() -> None:
    bench = Bench(concurrency=4)
    chunk = chunk_of(*(record(number) for number in range(40)))
    at_once = most = 0

    def step() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        gevent.sleep(0)
        gevent.sleep(0)
        at_once -= 1

    bench.sink.script = {(0,): [SLOWER, SLOWER, SLOWER, step], **{(n,): [step] for n in range(4, 10)}}
    bench.on_wait = lambda: gevent.sleep(0)
    bench.deliver(chunk)
    low, most = most, 0
    bench.sink.script = {(n,): [step] for n in range(40)}
    bench.deliver(chunk)
    assert low < 4
    assert most == 4


def test_the_row_errors_of_a_throttled_answer_slow_the_lane_as_well(bench: Bench) -> None:
    again = Outcome(again=((0,),), backoff=SLOWER)
    bench.sink.script = {(0,): [again, again]}
    assert bench.deliver(ONE) == ["send (0,)", "wait 1s", "send (0,)", "wait 2s", "send (0,)", "durable 1-1"]


def test_a_throttled_lane_keeps_no_place_from_another_lane() -> None:
    bench = Bench(concurrency=1)
    bench.sink.lanes = {0: "slow", 2: "slow"}
    bench.sink.script = {(0,): [SLOWER, SLOWER], (2,): [SLOWER]}
    others_done = GeventEvent()
    bench.sink.script[(3,)] = [others_done.set]
    bench.on_wait = lambda: others_done.wait(SAFETY_SECONDS)
    log = bench.deliver(FOUR)
    assert log[:4] == ["send (0,): slower", "wait 1s", "send (1,)", "send (3,)"]


def test_what_the_backend_bills_is_counted(bench: Bench) -> None:
    bench.sink.script = {(0,): [Outcome(counts={"billed": 3})], (1,): [DOWN, Outcome(counts={"billed": 4})]}
    bench.deliver(TWO)
    assert bench.status.counters["billed"] == 7


def test_dead_letters_are_written_before_the_chunk_counts_as_durable(bench: Bench) -> None:
    """I1"""
    bench.sink.unreadable = (1,)
    bench.dead_letters.failures = [DOWN, DENIED]
    assert bench.deliver(TWO) == [
        "send (0,)",
        "bury: down",
        "wait 1s",
        "bury: denied (see s3.bucket)",
        "wait 20s",
        "bury [1]",
        "durable 1-2",
    ]
    assert messages(bench.events)[0].startswith(
        "WARNING: the first dead letter for this reason: record 2: not_json"
    )
    assert messages(bench.events)[1].startswith("WARNING: dead letters failed")


def test_a_chunk_without_a_single_good_record_is_buried(bench: Bench) -> None:
    bench.sink.unreadable = (0, 1)
    assert bench.deliver(TWO) == ["bury [0, 1]", "durable 1-2"]


HALF = ShareLimit(0.5, 4)


def test_too_many_bad_records_hold_the_chunk_until_the_cause_is_mended() -> None:
    bench = Bench(limit=HALF)
    bench.sink.unreadable = (0, 1, 2)
    looks = []

    def mend_at_the_third_look() -> None:
        looks.append(bench.log[-1])
        bench.sink.mended = len(looks) == 3

    bench.on_wait = mend_at_the_third_look
    assert bench.deliver(FOUR) == [
        "send (3,)",
        "wait 10s",
        "reconsider",
        "wait 20s",
        "reconsider",
        "wait 30s",
        "reconsider",
        "send (0, 1, 2)",
        "durable 0-4",
    ]
    said = messages(bench.events)
    assert [line for line in said if "shard held" in line] == said[:1]
    assert "3 of 4 records would become dead letters" in said[0]
    assert said[-1] == "INFO: shard no longer held"


def test_a_held_chunk_about_which_nobody_can_say_is_held_on() -> None:
    bench = Bench(limit=HALF)
    bench.sink.unreadable = (0, 1, 2)
    bench.sink.unasked = [TransientError("no memory")]
    bench.sink.mended = True
    assert bench.deliver(FOUR)[1:] == [
        "wait 10s",
        "reconsider",
        "wait 20s",
        "reconsider",
        "send (0, 1, 2)",
        "durable 0-4",
    ]


def test_the_share_is_counted_over_the_chunks_that_passed() -> None:
    bench = Bench(limit=HALF)
    bench.sink.unreadable = (0, 1)
    bench.deliver(FOUR)
    bench.sink.unreadable = (0, 1, 2)
    held = GeventEvent()
    bench.on_wait = held.set
    durable = bench.start(chunk_of(*(record(number) for number in range(10, 14))))
    assert held.wait(SAFETY_SECONDS)
    assert not durable.is_set()
    bench.sink.mended = True
    assert durable.wait(SAFETY_SECONDS)


def test_chunks_that_fail_at_the_same_time_count_each_other() -> None:
    bench = Bench(limit=ShareLimit(0.5, 40))  # two of four may pass
    bench.sink.unreadable = (0, 1)
    down = GeventEvent()
    bench.dead_letters.failures = [DOWN] * 2
    bench.on_wait = lambda: down.wait(SAFETY_SECONDS)
    first, second, third = (bench.start(chunk_of(record(n), record(n + 1))) for n in (1, 3, 5))
    gevent.idle()
    assert [line for line in bench.log if line.startswith("bury")] == ["bury: down"]
    assert "shard held" in " ".join(messages(bench.events))
    bench.sink.mended = True
    down.set()
    assert all(durable.wait(SAFETY_SECONDS) for durable in (first, second, third))


def test_one_chunks_release_does_not_end_the_hold_of_another() -> None:
    bench = Bench()
    bench.status.holding(ONE, rejected(0))
    other = chunk_of(record(7))
    bench.status.holding(other, rejected(0))
    bench.status.released(ONE)
    assert list(bench.status._held) == [other.name]
    assert "no longer held" not in " ".join(messages(bench.events))
    bench.status.released(other)
    assert messages(bench.events)[-1] == "INFO: shard no longer held"


def test_a_bug_in_a_sink_is_told_and_never_resolves_the_chunk(bench: Bench) -> None:
    bench.sink.script = {(0,): [ValueError("nobody foresaw this")]}
    durable = bench.start(ONE)
    assert bench.bug.wait(SAFETY_SECONDS)
    assert not durable.is_set()
    assert "nobody foresaw this" in messages(bench.events)[-1]
    assert messages(bench.events)[-1].startswith("ERROR: bug while delivering chunk 1-1")


def test_a_bug_is_seen_while_another_request_of_the_chunk_is_repeated_for_ever(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.sink.script = {(0,): [DOWN] * 1000, (1,): [ValueError("nobody foresaw this")]}
    never = GeventEvent()
    bench.on_wait = lambda: never.wait(SAFETY_SECONDS)
    durable = bench.start(TWO)
    assert bench.bug.wait(SAFETY_SECONDS)
    never.set()
    assert not durable.is_set()


def sends(bench: Bench) -> list[str]:
    return [line for line in bench.log if line.startswith("send")]


def test_a_request_of_an_ordered_lane_waits_for_one_that_is_repeated(bench: Bench) -> None:
    bench.sink.in_order = True
    bench.sink.script = {(0,): [DOWN]}
    bench.deliver(TWO)
    assert sends(bench) == ["send (0,): down", "send (0,)", "send (1,)"]


def test_a_request_without_order_does_not_wait_for_another(bench: Bench) -> None:
    bench.sink.script = {(0,): [DOWN]}
    bench.deliver(TWO)
    assert sends(bench) == ["send (0,): down", "send (1,)", "send (0,)"]


def test_an_ordered_lane_keeps_the_order_of_chunks() -> None:
    bench = Bench(concurrency=1)
    bench.sink.in_order = True
    bench.sink.parts = [(0,)]
    down = GeventEvent()
    bench.on_wait = lambda: down.wait(SAFETY_SECONDS)
    bench.sink.script = {(0,): [DOWN]}
    first, second = bench.start(chunk_of(record(1))), bench.start(chunk_of(record(2)))
    gevent.idle()
    assert sends(bench) == ["send (0,): down"]
    down.set()
    assert first.wait(SAFETY_SECONDS)
    assert second.wait(SAFETY_SECONDS)
    assert [line for line in bench.log if line.startswith("durable")] == ["durable 1-1", "durable 2-1"]


def test_a_preparation_that_fails_is_repeated_and_holds_the_next_chunk_back(bench: Bench) -> None:
    bench.sink.unprepared = [DENIED]
    first, second = bench.start(ONE), bench.start(chunk_of(record(2)))
    assert first.wait(SAFETY_SECONDS)
    assert second.wait(SAFETY_SECONDS)
    assert bench.log[:2] == ["prepare 1-1: denied (see s3.bucket)", "wait 10s"]
    assert "durable 2-1" in bench.log


@pytest.mark.parametrize("where", ["prepare", "send"])
def test_a_superseded_process_delivers_nothing_more_and_is_told_once(where: str) -> None:
    bench = Bench()
    bench.sink.in_order = True
    if where == "prepare":
        bench.sink.unprepared = [GONE, GONE]
    else:
        bench.sink.script = {(0,): [GONE], (1,): [GONE]}
        bench.sink.lanes = {1: "another"}
    started = [bench.start(TWO), bench.start(chunk_of(record(7)))]
    assert bench.superseded.wait(SAFETY_SECONDS)
    gevent.idle()
    assert not any(durable.is_set() for durable in started)
    assert not bench.bug.is_set()
    assert messages(bench.events) == ["WARNING: taken over: this process delivers nothing more"]


def test_an_outage_is_said_once_however_many_requests_it_meets(bench: Bench) -> None:
    bench.sink.script = {(index,): [DOWN, DOWN] for index in range(4)}
    bench.deliver(FOUR)
    assert messages(bench.events) == [
        "WARNING: delivery failed and is repeated (attempt 1): down",
        "WARNING: delivery failed and is repeated (attempt 2): down",
        "INFO: delivery works again after 2 failed attempts",
    ]


def test_what_someone_has_to_mend_is_said_though_an_outage_was(bench: Bench) -> None:
    bench.sink.script = {(0,): [DOWN, DOWN, DENIED]}
    bench.deliver(ONE)
    assert [message.partition(":")[0] for message in messages(bench.events)] == [
        "WARNING",
        "WARNING",
        "ERROR",
        "INFO",
    ]


def test_a_chunk_whose_records_are_needed_no_more_lets_go_of_them_before_it_is_sent(bench: Bench) -> None:
    chunk = chunk_of(record(1), record(2))
    bench.sink.may_release_records = True
    held: list[int] = []
    bench.sink.script = {(0,): [lambda: held.append(len(chunk.records))]}
    assert bench.deliver(chunk)[-1] == "durable 1-2"
    assert held == [0]
    assert bench.status.counters["records_delivered"] == 2


# Who listens


class Heard:
    """One tap, and the shard process's end of it."""

    def __init__(self, folder: Path) -> None:
        self._ear = Ear(folder)
        self.listeners = Listeners(folder)
        self.listeners.look()

    def samples(self) -> list[Sample]:
        return [sample for heard in self._ear.heard() for sample in heard.samples]

    def end(self) -> None:
        self._ear.end()
        self.listeners.look()


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    heard = Heard(tmp_path / "taps")
    yield heard
    heard.end()


def test_a_tap_hears_where_each_record_has_gone_in_the_end(heard: Heard) -> None:
    bench = Bench(listeners=heard.listeners)
    bench.sink.parts = [(0, 1), (2,)]
    bench.sink.unreadable = (3,)
    bench.sink.poison = frozenset({1})
    bench.sink.may_release_records = False
    bench.deliver(FOUR)
    fates = {each.sequence_number: (each.outcome, each.place, each.reason) for each in heard.samples()}
    assert fates == {
        "0": ("delivered", "table 0", ""),
        "1": ("dead_letter", "s3://dead/0-4", "rejected"),
        "2": ("delivered", "table 2", ""),
        "3": ("dead_letter", "s3://dead/0-4", "not_json"),
    }


def test_a_tap_hears_of_records_that_pass_once_the_cause_is_mended(heard: Heard) -> None:
    bench = Bench(limit=ShareLimit(0.1, 10), listeners=heard.listeners)
    bench.sink.unreadable = (0, 1)
    bench.sink.mended = True
    bench.deliver(TWO)
    assert [(each.outcome, each.place) for each in heard.samples()] == [("delivered", "table 0")] * 2


def test_records_that_are_let_go_of_are_sampled_before(heard: Heard) -> None:
    bench = Bench(listeners=heard.listeners)
    bench.sink.may_release_records = True
    bench.deliver(chunk_of(record(1, 7)))
    [sample] = heard.samples()
    assert (sample.payload, sample.size) == (b"x" * 7, 7)


type Spoil = Callable[[Ear], object]

LISTENERS: dict[str, Spoil] = {
    "well": lambda ear: None,
    "full": Ear.fill,
    "killed": Ear.close,
    "ended": Ear.end,
    "expired": lambda ear: ear.ask(0),
    "unlinked": lambda ear: ear.path.unlink(missing_ok=True),
}


@given(
    st.lists(st.sampled_from(sorted(LISTENERS)), max_size=3),
    st.lists(st.tuples(st.booleans(), st.integers(2, 4)), min_size=1, max_size=6),
)
@examples(30)
def test_no_listener_delays_or_changes_delivery(kinds: list[str], chunks: list[tuple[bool, int]]) -> None:
    """However it is, and whenever it becomes so."""

    def delivered(folder: Path | None) -> Log:
        listeners = None if folder is None else Listeners(folder)
        bench = Bench(listeners=listeners)
        bench.sink.unreadable = (1,)
        bench.sink.script = {(0,): [DOWN]}
        ears = [] if folder is None else [Ear(folder, str(number)) for number in range(len(kinds))]
        if listeners is not None:
            listeners.look()
        for looks, count in chunks:
            for kind, ear in zip(kinds, ears, strict=False):
                LISTENERS[kind](ear)
            if looks and listeners is not None:
                listeners.look()
            bench.deliver(chunk_of(*(record(number) for number in range(count))))
        for ear in ears:
            ear.end()
        if listeners is not None:
            listeners.look()
        assert not bench.bug.is_set()
        return bench.log

    with TemporaryDirectory() as folder:
        assert delivered(Path(folder, "taps")) == delivered(None)
