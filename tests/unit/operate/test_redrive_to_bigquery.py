"""Dead letters of a BigQuery application come back once: killed anywhere, refused by the table, mended meanwhile."""

import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.dead_letters import Rejection
from consumer.operate import lock
from consumer.operate.action import Console
from consumer.operate.dead_letters import command
from consumer.operate.dead_letters.letters import Letter, letters_of
from consumer.operate.patience import Patience
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from consumer.sinks.http.connection import Answer
from tests.unit.builders import chunk_of
from tests.unit.operate.fake_s3 import FakeS3, Killed
from tests.unit.operate.world import BEGIN_MS, HOUR_MS, NOW, SHARDS
from tests.unit.sinks.bigquery.load.fake_google import FakeGoogle

SETTINGS = {
    "streamName": "logs",
    "applicationName": "app",
    "regionName": "eu-west-1",
    "deadletter.bucket": "bucket",
    "bigquery.project": "project",
    "bigquery.dataset": "logs",
    "bigquery.credentials": "anonymous",
    "bigquery.partition_field": "t",
    "record.key_field": "k",
}
DEAD = "deadletter/app/"


def payload(number: int, *, key: str = "a", bad: bool = False) -> bytes:
    return json.dumps({"k": key, "n": number, "bad": bad}).encode()


CHUNKS = [
    [payload(0), payload(1, bad=True), payload(2), payload(3, key="zz"), payload(4, key="b", bad=True)],
    [payload(5, bad=True), payload(6), payload(6)],
    [payload(7, key="b", bad=True)],
]
LOADED = Counter([0, 1, 2, 4, 5, 6, 6, 7])


class Google(FakeGoogle):
    """`around` is called before and after each request."""

    around: Callable[[bool], None] = lambda before: None

    def request(self, *request: Any) -> Answer:
        self.around(True)
        answer = super().request(*request)
        self.around(False)
        return answer

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        self.around(True)
        return super().post(path, body)


class World:
    """Dead letters of some reason, whatever it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, blind: bool = False) -> None:
        """`blind` lets insertAll see nothing wrong with rows that jobs refuse."""
        self.s3, self.google = FakeS3(), Google()
        if blind:
            self.google.sees = lambda row: False
        monkeypatch.setattr(HttpConnection, "of", lambda settings: self.google)
        monkeypatch.setattr(command, "_patience", lambda action: Patience(sleep=lambda seconds: None))
        monkeypatch.setattr(lock.Holder, "has_ended", lambda self: True)
        for number in range(len(CHUNKS)):
            self.bury(number)

    def bury(self, number: int) -> None:
        """As a shard process does, for the first time or again."""
        first, arrival, shard = 1000 * (number + 1), BEGIN_MS + number * HOUR_MS, SHARDS[number % 2]
        place = DeadLetterPlace(
            bucket="bucket", prefix="deadletter/", application="app", stream="logs", shard=shard
        )
        chunk = chunk_of(CHUNKS[number], first=first, arrival_ms=arrival)
        rejections = [Rejection(index, "rejected", "as told") for index in range(chunk.count)]
        DeadLetterSink(place, lambda: self.s3).write(chunk, rejections)

    def mend(self) -> None:
        self.google.refuses = lambda row: False

    def redrive(self, *arguments: str, kill: int | None = None) -> bool:
        """Whether it was killed, at its request of this number, before or behind it."""
        count, dead = 0, False

        def around(before: bool) -> None:
            nonlocal count, dead
            count += before
            if kill is not None and (dead or (before == (kill % 2 == 0) and count > kill // 2)):
                dead = True
                raise Killed

        self.google.around = around
        self.s3.before, self.s3.after = (
            lambda operation, key: around(True),
            lambda operation, key: around(False),
        )
        chosen = [f"--set={key}={value}" for key, value in SETTINGS.items()]
        try:
            self.code = command.deadletters_main(
                ["bigquery", "redrive", "--properties=/dev/null", "--yes", *chosen, *arguments],
                console=Console(io.StringIO(), io.StringIO()),
                now=lambda: NOW,
                new_client=lambda settings: self.s3,
            )
        except Killed:
            return True
        finally:
            self.google.around = lambda before: None
            self.s3.before = self.s3.after = lambda operation, key: None
        return False

    def loaded(self) -> Counter[int]:
        return Counter(record["n"] for record in self.google.loaded)

    def dead(self) -> list[Letter]:
        return [letter for key in self.s3.keys(DEAD) for letter in letters_of(self.s3.body(key))]


def numbers(letters: Sequence[Letter]) -> list[int]:
    return [json.loads(letter.payload)["n"] for letter in letters]


def test_what_the_tables_take_is_loaded_once_and_the_rest_stays_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    world.redrive()
    assert world.code == 1
    assert world.loaded() == Counter([0, 2, 6, 6])
    left = world.dead()
    assert sorted(numbers(left)) == [1, 3, 4, 5, 7]
    reasons = {json.loads(letter.payload)["n"]: letter.current_reason for letter in left}
    assert reasons == {1: "rejected", 3: "bad_key", 4: "rejected", 5: "rejected", 7: "rejected"}
    world.mend()
    world.redrive()
    assert (world.loaded(), numbers(world.dead())) == (LOADED, [3])


def test_a_dead_letter_that_comes_up_again_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.mend()
    world.redrive()
    world.bury(1)
    world.redrive()
    assert (world.code, world.loaded(), numbers(world.dead())) == (1, LOADED, [3])
    world.bury(0)
    world.redrive("--limit=2")
    assert world.loaded() == LOADED


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("mended", [False, True])
def test_killed_at_any_request_and_started_again_it_loses_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch, blind: bool, mended: bool
) -> None:
    """With another choice, which would make other jobs. `mended` are the tables between the two. Each of the four takes
    every fourth request."""
    killed, number = True, 2 * blind + mended
    while killed:
        world = World(monkeypatch, blind=blind)
        killed = world.redrive(kill=number)
        if mended:
            world.mend()
        world.redrive("--limit=4")
        world.mend()
        world.redrive()
        assert (number, world.loaded(), numbers(world.dead())) == (number, LOADED, [3])
        number += 4
    assert number > 60


def test_killed_while_every_row_is_taken_it_doubles_nothing_whatever_is_chosen_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed, number = True, 0
    while killed:
        world = World(monkeypatch)
        world.mend()
        killed = world.redrive(kill=number)
        world.redrive("--limit=4")
        world.redrive()
        assert (number, world.loaded(), numbers(world.dead())) == (number, LOADED, [3])
        number += 2
    assert number > 60


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("redrive"),
            st.sampled_from([[], ["--limit=1"], ["--limit=4"], ["--shard=shardId-000000000000"]]),
            st.integers(0, 150),
        ),
        st.tuples(st.just("bury"), st.integers(0, 2)),
        st.tuples(st.just("mend")),
    ),
    max_size=6,
)


@given(STEPS, st.booleans())
def test_whatever_happens_between_redrives_nothing_is_lost_and_nothing_doubled(
    steps: list[Any], blind: bool
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(monkeypatch, blind=blind)
        for step, *given in steps:
            if step == "redrive":
                world.redrive(*given[0], kill=given[1])
            elif step == "bury":
                world.bury(given[0])
            else:
                world.mend()
        world.mend()
        world.redrive()
        world.redrive()
        assert (world.loaded(), set(numbers(world.dead()))) == (LOADED, {3})


HALVES = "--set=transform=tests.unit.operate.mend:halves"


def test_the_transform_in_force_is_applied_once_and_tables_are_those_of_the_record_as_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    world.redrive(HALVES)
    assert world.loaded() == Counter([100, 101, 102, 6, 6])
    left = {json.loads(letter.payload)["n"]: letter.current_reason for letter in world.dead()}
    assert left == {1: "rejected", 3: "bad_key", 4: "rejected", 5: "rejected", 7: "rejected"}
    world.mend()
    world.redrive(HALVES)
    assert world.loaded() == Counter([100, 101, 102, 1, 4, 5, 6, 6, 7])
    assert {record["k"] for record in world.google.loaded} == {"nobody"}
    assert numbers(world.dead()) == [3]


def test_of_several_outputs_those_are_delivered_that_were_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the daemon before, and by a redrive before."""
    world = World(monkeypatch)
    world.s3.objects.clear()
    place = DeadLetterPlace(
        bucket="bucket", prefix="deadletter/", application="app", stream="logs", shard=SHARDS[0]
    )
    chunk = chunk_of(CHUNKS[0], first=1000, arrival_ms=BEGIN_MS)
    DeadLetterSink(place, lambda: world.s3).write(chunk, [Rejection(0, "rejected", "as told", (2, 3))])
    world.google.refuses = lambda row: row.get("n") == 102
    world.redrive(HALVES)
    assert world.loaded() == Counter([101])
    [letter] = world.dead()
    assert (letter.payload, letter.outputs) == (CHUNKS[0][0], (3,))
    world.mend()
    world.redrive(HALVES)
    assert (world.loaded(), world.dead()) == (Counter([101, 102]), [])
