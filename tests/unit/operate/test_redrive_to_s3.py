"""Dead letters of an S3 application come back once: killed anywhere, repeated, beside replays of either kind."""

import gzip
import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.errors import Throttled, TransientError
from consumer.operate import lock
from consumer.operate.dead_letters import command, redrive
from consumer.operate.patience import Patience
from tests.unit.operate.fake_s3 import FakeS3, answer
from tests.unit.operate.mend import date
from tests.unit.operate.world import DEAD, FORMER, MENDED, World, deep

MEND = "--transform=tests.unit.operate.mend:mend"
PAYLOADS = [
    [b'{"n":1}', deep(2), b"oops 3", b'{"n":1}'],
    [deep(5), deep(5), b"oops 6"],
    [b'{"n":7}', b"oops 8", b"oops 8"],
]
GOOD = [b'{"n":1}', b'{"n":1}', b'{"n":7}', deep(2), deep(5), deep(5)]
ALL = Counter([*GOOD, *(b'{"mended": "oops %d"}' % n for n in (3, 6, 8, 8))])


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that was killed here leaves this process running."""
    monkeypatch.setattr(lock.Holder, "has_ended", lambda self: True)


def test_all_are_delivered_once_and_moved_and_a_second_redrive_does_nothing() -> None:
    world = World(PAYLOADS)
    assert len(world.dead()) == 7
    code, told = world.run("redrive", "--yes", MEND)
    assert (code, world.lines(), world.dead()) == (0, ALL, [])
    assert world.moved("redriven") == sorted(
        [deep(2), deep(5), deep(5), b"oops 3", b"oops 6", b"oops 8", b"oops 8"]
    )
    [audit] = world.audits()
    assert (audit["state"], audit["counts"]) == (
        "done",
        {"redriven": 7, "refused": 0, "dropped": 0, "already": 0},
    )
    before = dict(world.s3.objects)
    code, told = world.run("redrive", "--yes", MEND)
    assert code == 1
    assert "no dead letters of applicationName app" in told
    assert world.s3.objects == before


def test_a_replay_after_a_redrive_writes_the_same_lines_in_the_order_of_the_shard() -> None:
    world = World([[deep(1), b'{"n":2}']])
    world.run("redrive", "--yes")
    [key] = world.delivered()
    assert gzip.decompress(world.s3.body(key)).splitlines() == [b'{"n":2}', deep(1)]
    world.deliver(0, MENDED)
    assert gzip.decompress(world.s3.body(key)).splitlines() == [deep(1), b'{"n":2}']
    assert world.dead() == []


def test_what_a_replay_has_delivered_is_not_added() -> None:
    world = World([[deep(1), deep(1), b'{"n":2}']])
    world.deliver(0, MENDED)
    assert len(world.dead()) == 2  # nobody has taken them away
    code, _ = world.run("redrive", "--yes")
    assert (code, world.dead()) == (0, [])
    assert world.lines() == Counter([deep(1), deep(1), b'{"n":2}'])


def test_an_object_that_was_never_written_is_made() -> None:
    world = World([[deep(1), deep(2)]])
    assert world.lines() == Counter()
    world.run("redrive", "--yes")
    assert world.lines() == Counter([deep(1), deep(2)])


def test_a_record_goes_where_its_own_time_files_it() -> None:
    """By the same code as in delivery: each partition of a chunk is an object of its own."""
    world = World([[b'{"n":1}', deep(2)]])
    mend = "--transform=tests.unit.operate.mend:date"
    assert world.run("redrive", "--yes", "--set=s3.partition_time=record", mend)[0] == 0
    [key] = [key for key in world.delivered() if "dt=2020-02-03/hour=04/" in key]
    assert key.endswith("/logs-shardId-000000000000-1000-2.ndjson.gz")
    assert gzip.decompress(world.s3.body(key)).splitlines() == [date(deep(2))]


def test_nothing_is_appended_to_objects_of_zstandard() -> None:
    world = World([[b'{"n":1}', deep(2)]])
    code, told = world.run("redrive", "--yes", "--set=s3.format=ndjson.zst", MEND)
    assert code != 0
    assert "--set s3.format=ndjson.gz" in str(told)
    assert len(world.dead()) == 1


def test_a_record_goes_where_its_own_fields_file_it() -> None:
    world = World([[b'{"n":1}', deep(2)]])
    mend = "--transform=tests.unit.operate.mend:date"
    assert world.run("redrive", "--yes", "--set=s3.key_template=t={time}/n={n|none}", mend)[0] == 0
    [key] = [key for key in world.delivered() if "/t=2020-02-03T04%3A05%3A06Z/n=2/logs-" in key]
    assert gzip.decompress(world.s3.body(key)).splitlines() == [date(deep(2))]


def test_what_is_refused_again_is_kept_with_the_new_reason_beside_the_old_one() -> None:
    world = World([[deep(1, 2000), b"oops", b"fail", deep(2)]])
    code, _ = world.run("redrive", "--yes", MEND)
    assert code == 1
    kept = {letter.payload: letter for letter in world.dead()}
    assert kept.keys() == {deep(1, 2000), b"fail"}
    assert [(one.reason, one.detail[:6]) for one in kept[deep(1, 2000)].refusals] == [("too_deep", "nested")]
    assert kept[b"fail"].reason == "not_json"
    assert [(one.reason, one.detail) for one in kept[b"fail"].refusals] == [
        ("transform_failed", "ValueError: no way")
    ]
    world.run("redrive", "--yes", MEND)
    assert all(len(letter.refusals) == 1 for letter in world.dead())
    code, _ = world.run("redrive", "--yes", "--reason=transform_failed", "--dry-run", MEND)
    assert code == 0


def test_a_transform_may_drop_a_record_or_make_several_of_it() -> None:
    world = World([[b"drop", b"two of them"]])
    code, _ = world.run("redrive", "--yes", MEND)
    assert code == 0
    assert world.lines() == Counter(b'{"half": %d, "of": "two of them"}' % half for half in (1, 2))
    assert (world.moved("discarded"), world.moved("redriven")) == ([b"drop"], [b"two of them"])


def test_limit_reason_shard_and_key_choose() -> None:
    world = World(PAYLOADS)
    world.run("redrive", "--yes", "--reason=too_deep", "--limit=2")
    assert world.lines() == Counter([b'{"n":1}', b'{"n":1}', b'{"n":7}', deep(2), deep(5)])
    world.run("redrive", "--yes", "--shard=shardId-000000000001", MEND)
    assert len(world.dead()) == 3
    assert world.run("redrive", "--yes", "--key=nobody", MEND)[0] == 1
    world.run("redrive", "--yes", "--key=pk", MEND)
    assert (world.lines(), world.dead()) == (ALL, [])


def test_a_dry_run_says_what_would_be_refused_and_changes_nothing() -> None:
    world = World(PAYLOADS)
    before = dict(world.s3.objects)
    code, told = world.run("redrive", "--dry-run")
    assert (code, world.s3.objects) == (0, before)
    assert "the settings refuse again: 4 dead letters (not_json 4)" in told
    assert "would redrive 7 dead letters (not_json 4, too_deep 3) of app" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set=applicationName=other"], "no dead letters of applicationName other"),
        (["--set=applicationName=other"], "there are some of app"),
        (["--since=2h"], "nothing to do"),
        (["--since=2030-01-01"], "is in the future"),
        (["--since=1h", "--until=2h"], "an empty range"),
        (["--transform=tests.unit.operate.mend:nothing"], "cannot be loaded"),
        (["--transform=nothing"], "is not module:function"),
    ],
)
@pytest.mark.parametrize("action", ["redrive", "discard"])
def test_it_refuses_in_one_line_and_changes_nothing(action: str, arguments: list[str], told: str) -> None:
    world = World(PAYLOADS)
    before = dict(world.s3.objects)
    if "--transform" in arguments[0] and action == "discard":
        return
    code, said = world.run(action, "--yes", *arguments)
    assert (code, world.s3.objects) == (1, before)
    assert told in said.splitlines()[-1]


@pytest.mark.parametrize("denied", ["list", "get", "put"])
def test_a_bucket_without_rights_is_told_in_one_line_and_nothing_is_changed(denied: str) -> None:
    world = World(PAYLOADS)
    before = dict(world.s3.objects)

    def deny(operation: str, key: str) -> None:
        if operation == denied:
            raise answer("AccessDenied", 403)

    world.s3.before = deny
    code, told = world.run("redrive", "--yes")
    assert (code, world.s3.objects) == (1, before)
    assert told.count("AccessDenied") == 1
    assert "deadletter.bucket" in told


def test_another_command_at_work_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.Holder, "has_ended", lambda self: False)
    world = World(PAYLOADS)
    assert world.run_until(2 * 16, "redrive", "--yes", "--who=jo")
    assert "deadletter/redriving/app/lock.json" in world.s3.objects
    code, told = world.run("redrive", "--yes")
    assert code == 1
    assert "deadletters redrive of jo is at work" in told


def test_a_store_without_conditions_is_written_without_them() -> None:
    class Old(FakeS3):
        def put_object(self, **options: object) -> dict[str, object]:
            if options.keys() & {"IfMatch", "IfNoneMatch"}:
                raise answer("NotImplemented", 501)
            return super().put_object(**options)

        def delete_object(self, **options: object) -> dict[str, object]:
            if "IfMatch" in options:
                raise answer("NotImplemented", 501)
            return super().delete_object(**options)

    world = World(PAYLOADS, Old())
    assert world.run("redrive", "--yes", MEND)[0] == 0
    assert (world.lines(), world.dead()) == (ALL, [])


def test_killed_at_any_request_and_started_again_it_loses_and_doubles_nothing() -> None:
    killed, number = True, 0
    while killed:
        world = World(PAYLOADS)
        killed = world.run_until(number, "redrive", "--yes", MEND)
        world.run("redrive", "--yes", MEND)
        assert (number, world.lines(), world.dead()) == (number, ALL, [])
        assert len(world.moved("redriven")) == 7
        assert world.s3.keys("deadletter/redriving/app/parcel") == []
        number += 1
    assert number > 50


def test_a_request_that_fails_or_whose_answer_is_lost_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_patience", lambda action: Patience(sleep=lambda seconds: None))
    for number in range(1, 50):
        world = World(PAYLOADS)
        for hook in ("before", "after"):
            setattr(world.s3, hook, failing_once(number))
        assert world.run("redrive", "--yes", MEND)[0] == 0
        assert (number, world.lines(), world.dead()) == (number, ALL, [])


def failing_once(number: int) -> Callable[[str, str], None]:
    """A hook that fails when it is called for so many times."""
    calls = itertools.count(1)

    def fail(operation: str, key: str) -> None:
        if next(calls) == number:
            raise ConnectionClosedError(endpoint_url="https://s3")

    return fail


def test_a_signal_ends_it_behind_what_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive, "PARCEL_LETTERS", 2)
    world = World(PAYLOADS)

    def stop(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("parcel.ndjson.gz"):
            world.s3.before = lambda operation, key: None
            os.kill(os.getpid(), signal.SIGTERM)

    world.s3.before = stop
    code, told = world.run("redrive", "--yes", MEND)
    assert (code, len(world.dead())) == (1, 5)
    assert "stopping when what has begun is finished" in told
    assert world.audits()[0]["state"] == "stopped"
    assert world.s3.keys("deadletter/redriving/") == []
    assert world.run("redrive", "--yes", MEND)[0] == 0
    assert (world.lines(), world.dead()) == (ALL, [])


def test_a_rate_holds_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(redrive.Redrive, "_pause", lambda self, seconds: slept.append(seconds))
    world = World(PAYLOADS)
    assert world.run("redrive", "--yes", "--rate=0.01", MEND)[0] == 0
    assert len(slept) == 7
    assert all(0 < seconds <= 100 for seconds in slept)
    assert (world.lines(), world.dead()) == (ALL, [])


@pytest.mark.parametrize(
    ("answers", "error", "attempts"),
    [
        (1, TransientError("no answer"), 6),
        (0, Throttled("slow down"), 6),
        (0, TransientError("no answer"), 1),
    ],
    ids=["that has answered", "that throttles", "that never has"],
)
def test_a_store_that_does_not_answer_is_asked_for_minutes_unless_it_never_has(
    answers: int, error: TransientError, attempts: int
) -> None:
    clock = itertools.count(0, 60)
    patience = Patience(sleep=lambda seconds: None, monotonic=lambda: float(next(clock)))
    for _ in range(answers):
        patience.keep(lambda: None)
    made = []

    def call() -> None:
        made.append(1)
        raise error

    with pytest.raises(TransientError):
        patience.keep(call)
    assert len(made) == attempts


CHOICES = st.sampled_from(
    [
        [],
        ["--limit=1"],
        ["--limit=3"],
        ["--reason=too_deep"],
        ["--reason=not_json"],
        ["--shard=shardId-000000000000"],
    ]
)
REPLAYS = st.tuples(st.integers(0, len(PAYLOADS) - 1), st.sampled_from([FORMER, MENDED]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("redrive"), CHOICES, st.booleans(), st.integers(0, 120)),
        st.tuples(st.just("replay"), REPLAYS),
        st.tuples(st.just("beside"), CHOICES, st.integers(1, 60), REPLAYS),
    ),
    max_size=5,
)


@given(STEPS)
def test_whatever_happens_between_redrives_nothing_is_lost_and_nothing_doubled(
    steps: list[Any],
) -> None:
    """Killed redrives of any choice, with the transform and without, and replays between their requests."""
    world = World(PAYLOADS)
    for step in steps:
        if step[0] == "redrive":
            _, chosen, mends, kill = step
            world.run_until(kill, "redrive", "--yes", *chosen, *([MEND] if mends else []))
        elif step[0] == "replay":
            world.deliver(*step[1])
        else:
            _, chosen, at, replay = step
            beside(world, at, replay, "redrive", "--yes", MEND, *chosen)
    for _ in range(2):
        world.run("redrive", "--yes", MEND)
    assert (world.lines(), world.dead()) == (ALL, [])


def beside(world: World, at: int, replay: tuple[int, str], *arguments: str) -> None:
    """A command between two of whose requests a shard process delivers a chunk again."""
    count = 0

    def before(operation: str, key: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            world.deliver(*replay)

    world.s3.before = before
    try:
        world.run(*arguments)
    finally:
        world.s3.before = lambda operation, key: None


@pytest.mark.parametrize("settings", [FORMER, MENDED])
@pytest.mark.parametrize(("before", "mends"), [([], True), (["--limit=3"], True), (["--limit=3"], False)])
def test_a_replay_between_any_two_requests_loses_and_doubles_nothing(
    settings: str, before: list[str], mends: bool
) -> None:
    """`before` has delivered some of the chunk's dead letters already; what is not mended is refused and kept."""
    for at in range(1, 45):
        world = World(PAYLOADS)
        if before:
            world.run("redrive", "--yes", MEND, *before)
        beside(world, at, (2, settings), "redrive", "--yes", *([MEND] if mends else []))
        world.run("redrive", "--yes", MEND)
        assert (at, world.lines(), world.dead()) == (at, ALL, [])


def test_only_the_days_of_the_range_are_read_page_by_page() -> None:
    world = World([[deep(number)] for number in range(80)], FakeS3(page=7))
    world.s3.requests.clear()
    code, _ = world.run("redrive", "--yes", "--until=2026-01-31T10:00Z")
    left = world.dead()
    assert (code, len(left)) == (0, 77)
    assert min(letter.arrived_at for letter in left) == "2026-01-31T10:00:00.000Z"
    listed = {key for operation, key in world.s3.requests if operation == "list"}
    assert listed == {f"{DEAD}dt=", f"{DEAD}dt=2026-01-31/", f"{DEAD}dt=2026-02-01/"}


def test_the_transform_in_force_is_applied_behind_the_mending_one() -> None:
    world = World([[b"two of them", b"oops"]])
    code, _ = world.run("redrive", "--yes", MEND, "--set=transform=tests.unit.operate.mend:marked")
    assert (code, world.dead()) == (0, [])
    assert world.lines() == Counter(
        [
            b'{"half":1,"of":"two of them","marks":1}',
            b'{"half":2,"of":"two of them","marks":1}',
            b'{"mended":"oops","marks":1}',
        ]
    )
    assert world.run("redrive", "--yes", MEND)[0] == 1
