"""What a shard process tells those who listen to its deliveries."""

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from shutil import rmtree
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.taps import (
    MAX_PAYLOAD_BYTES,
    MOST_RATE,
    MOST_RECORDS,
    MOST_TAPS,
    Allowance,
    Sample,
)
from consumer.shard.delivery.taps import Listeners, Taps
from tests.unit.shard.fakes import Clock, Ear, chunk_of, record

SHARD = "shardId-000000000001"
EVERYTHING = range(1_000)

type Listen = Callable[..., Ear]


class World:
    """One shard, whose requests are tables that hold the records of some indices each."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.monotonic = Clock(), Clock(0.0)
        self.folder = folder / "taps"
        self.listeners = Listeners(self.folder, now=self.clock, monotonic=self.monotonic)
        self.taps = Taps(
            self.listeners,
            shard=SHARD,
            find=lambda request, index: request[0] if index in request[1] else None,
            choose=lambda n, k: list(range(n))[:k],
        )

    def deliver(
        self,
        chunk: Chunk,
        *requests: tuple[str, range],
        rejections: tuple[Rejection, ...] = (),
        buried: str = "",
    ) -> bool:
        """Whether anything was sampled."""
        self.monotonic.now += 1
        sampled = self.taps.sampled(chunk)
        if sampled is None:
            return False
        sampled.goes(requests)
        chunk.release()
        sampled.tell(rejections, buried)
        return True

    def end(self) -> None:
        """No request is there any more."""
        rmtree(self.folder, ignore_errors=True)
        self.listeners.look()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()


@pytest.fixture
def listen(world: World) -> Iterator[Listen]:
    """A tap that the shard process has seen."""
    with ExitStack() as stack:

        def listen(*arguments: str, **options: object) -> Ear:
            ear = Ear(world.folder, *arguments, **options)  # type: ignore[arg-type]
            stack.callback(ear.close)
            world.listeners.look()
            return ear

        yield listen


def samples(ear: Ear) -> list[Sample]:
    return [sample for heard in ear.heard() for sample in heard.samples]


def many(count: int) -> Chunk:
    return chunk_of(*(record(number) for number in range(count)))


def test_while_nobody_listens_nothing_is_taken(world: World) -> None:
    world.listeners.look()
    assert not world.deliver(many(3), ("table", EVERYTHING))
    world.folder.mkdir()
    world.listeners.look()
    assert not world.deliver(many(3), ("table", EVERYTHING))


def test_a_sample_tells_which_record_it_is_and_where_it_went(world: World, listen: Listen) -> None:
    ear = listen()
    chunk = chunk_of(
        Record(b'{"a":1}', "key", "17", 3, 1_700_000_000_000), record(18), record(19), record(20)
    )
    world.deliver(
        chunk,
        ("logs_a", range(1)),
        ("logs_b", range(1, 3)),
        rejections=(Rejection(2, "not_json", "no"),),
        buried="s3://dead/letters",
    )
    [heard] = ear.heard()
    assert (heard.shard, heard.passed) == (SHARD, 4)
    assert heard.samples[0] == Sample(
        sequence_number="17",
        sub_sequence_number=3,
        partition_key="key",
        arrival_ms=1_700_000_000_000,
        size=7,
        payload=b'{"a":1}',
        outcome="delivered",
        place="logs_a",
    )
    fates = [(each.outcome, each.place, each.reason, each.detail) for each in heard.samples[1:]]
    assert fates == [
        ("delivered", "logs_b", "", ""),
        ("dead_letter", "s3://dead/letters", "not_json", "no"),
        ("delivered_before", "", "", ""),
    ]


def test_of_a_large_payload_the_beginning_is_sent_and_its_size(world: World, listen: Listen) -> None:
    ear = listen()
    world.deliver(chunk_of(record(1, 1_000_000)), ("table", EVERYTHING))
    [sample] = samples(ear)
    assert (sample.payload, sample.size) == (b"x" * MAX_PAYLOAD_BYTES, 1_000_000)


def test_a_chunk_gives_a_few_of_its_records_and_says_how_many_it_had(world: World, listen: Listen) -> None:
    ear = listen()
    world.deliver(many(500), ("table", EVERYTHING))
    [heard] = ear.heard()
    assert (len(heard.samples), heard.passed) == (MOST_RECORDS, 500)


def test_a_tap_gets_no_more_than_it_has_asked_for(world: World, listen: Listen) -> None:
    ear = listen(rate=0.25)
    for _ in range(9):  # seconds
        world.deliver(many(5), ("table", EVERYTHING))
    heard = ear.heard()
    assert [len(each.samples) for each in heard] == [1, 1, 1]
    assert [each.passed for each in heard] == [5, 20, 20]


@given(
    st.floats(0.01, MOST_RATE),
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, MOST_RECORDS)), max_size=50),
)
def test_an_allowance_is_never_overdrawn(rate: float, asked: list[tuple[float, int]]) -> None:
    clock = Clock(0.0)
    allowance = Allowance(rate, clock)
    taken = 0
    for seconds, most in asked:
        clock.now += seconds
        got = allowance.take(most)
        assert 0 <= got <= most
        taken += got
        assert taken <= max(1.0, rate) + rate * clock.now + 1e-6


def test_a_request_holds_until_its_time_unless_it_is_renewed(world: World, listen: Listen) -> None:
    ear = listen(until_ms=1_010_000)
    world.clock.now = 1_009.9
    assert world.deliver(many(1))
    world.clock.now = 1_010.1
    assert not world.deliver(many(1))
    ear.ask(1_020_000)
    world.listeners.look()
    assert world.deliver(many(1))


def test_a_tap_hears_of_the_shards_that_it_has_named(world: World, listen: Listen) -> None:
    other, own = listen("a", shards=["shardId-000000000009"]), listen("b", shards=["x", SHARD])
    world.deliver(many(2), ("table", EVERYTHING))
    assert (len(samples(other)), len(samples(own))) == (0, 2)


def test_a_tap_that_has_ended_is_told_nothing_more(world: World, listen: Listen) -> None:
    ear = listen()
    world.deliver(many(1))
    ear.end()
    world.listeners.look()
    assert not world.deliver(many(1))


def test_a_tap_that_was_killed_costs_one_datagram(world: World, listen: Listen) -> None:
    ear = listen()
    ear.close()
    assert world.deliver(many(1))
    assert not world.deliver(many(1))
    world.listeners.look()
    assert not world.deliver(many(1)), "its request is there still"


def test_a_frozen_tap_takes_nothing_from_another(world: World, listen: Listen) -> None:
    frozen, quick = listen("a"), listen("b")
    frozen.fill()
    for _ in range(500):
        world.deliver(chunk_of(*(record(number, 10_000) for number in range(10))), ("t", EVERYTHING))
        assert len(samples(quick)) == 10


def test_what_a_slow_tap_has_missed_is_counted_once_it_takes_something_again(
    world: World, listen: Listen
) -> None:
    ear = listen()
    ear.fill()
    world.deliver(many(3))
    world.deliver(many(4))
    assert samples(ear) == []
    world.deliver(many(5))
    assert [heard.passed for heard in ear.heard()] == [12]


def test_no_more_taps_are_heeded_than_there_may_be(world: World, listen: Listen) -> None:
    ears = [listen(f"{number:03}") for number in range(MOST_TAPS + 3)]
    world.deliver(many(1))
    assert [len(samples(ear)) for ear in ears] == [1] * MOST_TAPS + [0] * 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"rate":"x"}', b"\xff", b'{"rate":1}'])
def test_a_request_that_cannot_be_read_is_none(world: World, listen: Listen, content: bytes) -> None:
    ear = listen()
    (world.folder / "other.json").write_bytes(content)
    (world.folder / "folder.json").mkdir()
    world.listeners.look()
    assert world.deliver(many(1))
    assert len(samples(ear)) == 1


def test_a_path_may_be_longer_than_the_address_of_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    world = World(folder)
    world.folder.mkdir()
    near = tmp_path / "near"
    near.symlink_to(world.folder)
    ear = Ear(near)
    world.listeners.look()
    world.deliver(many(1))
    assert len(samples(ear)) == 1
    ear.close()
    world.end()


HOSTILE_TEXTS = st.text(st.characters(), max_size=400)  # half surrogate pairs and control characters included


@given(
    st.lists(
        st.builds(Record, st.binary(max_size=60_000), HOSTILE_TEXTS, st.just("1")), min_size=1, max_size=12
    ),
    HOSTILE_TEXTS,
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_record_holds_it_fits_and_can_be_read(
    tmp_path: Path, records: list[Record], detail: str
) -> None:
    world = World(tmp_path)
    ear = Ear(world.folder)
    try:
        world.listeners.look()
        rejections = tuple(Rejection(index, "rejected", detail) for index in range(0, len(records), 2))
        chunk = Chunk(Records.of(records))
        assert world.deliver(chunk, ("table", EVERYTHING), rejections=rejections, buried="s3://dead")
        heard = samples(ear)
    finally:
        ear.end()
        world.end()
    assert len(heard) == min(MOST_RECORDS, len(records))
    for sample, one in zip(heard, records, strict=False):
        assert one.data.startswith(sample.payload)
        assert sample.size == len(one.data)


def test_without_a_descriptor_for_a_listener_the_look_goes_on_and_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the task that reports the status would end with it, and the process be taken for a silent one."""

    def none_left(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "too many open files")

    with closing(Ear(world.folder)) as ear:
        with monkeypatch.context() as patch:
            patch.setattr("consumer.shard.delivery.taps.socket.socket", none_left)
            world.listeners.look()
        assert not world.deliver(many(3), ("table", EVERYTHING))
        world.listeners.look()
        assert world.deliver(many(3), ("table", EVERYTHING))
        assert samples(ear)
