"""The judge of health finds what is planted: a silence, an alarm for nothing, one that does not end."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.health import (
    HELD_WITHIN_SECONDS,
    ILL_WITHIN_SECONDS,
    READ_SECONDS,
    WELL_WITHIN_SECONDS,
    Look,
    Said,
    Withheld,
    judge,
    reading_fault,
)
from tests.chaos.reads import Unread

UNREAD_AFTER = 20.0
WELL = Said(healthy=True)
SHARD = "shardId-0"
OTHER = "shardId-1"
TABLE = 'lease table "app" does not exist (for 20 s)'

type Daemon = Callable[[float, float], Said]
"""What it says, by how long a shard has gone unread and the moment."""


def ill(*reasons: str, phase: str = "running", since: float = 0.0) -> Said:
    return Said(healthy=False, reasons=reasons, phase=phase, since=since)


def names(shard: str = SHARD) -> str:
    return f"{shard}: not read for 17 s: no worker has its lease"


def right(unread: float, at: float) -> Said:
    return ill(names()) if unread > UNREAD_AFTER else WELL


def looks(
    daemon: Daemon, *gaps: tuple[float, float], until: float = 400.0, at_end: bool = False
) -> list[Look]:
    """Every second; SHARD goes unread from the one to the other moment of each gap."""
    found = []
    for at in map(float, range(int(until))):
        unread = max((at - began for began, ended in gaps if began <= at < ended), default=0.3)
        found.append(
            Look(at, {"a": daemon(unread, at)}, {SHARD: Unread(unread, at_end=at_end), OTHER: Unread(0.3)})
        )
    return found


gaps = st.tuples(st.floats(10, 200), st.floats(0, 190)).map(lambda gap: (gap[0], gap[0] + gap[1]))


@given(gaps)
def test_a_daemon_that_tells_of_it_in_time_and_no_longer_is_in_order(gap: tuple[float, float]) -> None:
    assert judge("s3", looks(right, gap)) == []


@given(st.lists(gaps, max_size=4))
def test_gaps_may_overlap_and_follow_each_other_as_they_like(many: list[tuple[float, float]]) -> None:
    assert judge("s3", looks(right, *many)) == []


@given(gaps)
def test_a_daemon_that_always_says_well_is_found_where_a_shard_goes_unread_for_long(
    gap: tuple[float, float],
) -> None:
    found = judge("s3", looks(lambda unread, at: WELL, gap))
    late = [look.at for look in looks(right, gap) if look.unread[SHARD].seconds > ILL_WITHIN_SECONDS]
    assert len(found) == bool(late and late[-1] - late[0] >= 5)
    assert all(SHARD in line and line.endswith(": well") for line in found)


def test_a_daemon_that_never_gets_well_again_is_found() -> None:
    def stuck(unread: float, at: float) -> Said:
        return ill(names()) if at > 120 else WELL

    (line,) = judge("s3", looks(stuck, (100, 150)))
    assert line.startswith(f"s3: {SHARD} of a was told of though it was read, from 2")
    assert judge("s3", looks(stuck, (100, 150), until=150 + WELL_WITHIN_SECONDS)) == []


def test_an_alarm_without_a_cause_is_found() -> None:
    (line,) = judge("s3", looks(lambda unread, at: ill(names()) if 100 < at < 110 else WELL))
    assert SHARD in line
    assert judge("s3", looks(lambda unread, at: ill(names()) if 100 < at < 103 else WELL)) == []


def test_one_shard_is_no_excuse_for_another() -> None:
    found = judge(
        "s3", looks(lambda unread, at: ill(names(OTHER)) if unread > UNREAD_AFTER else WELL, (100, 180))
    )
    assert [line.split()[1:3] for line in found] == [[SHARD, "went"], [OTHER, "of"]]


@pytest.mark.parametrize(
    "reasons",
    [
        (TABLE,),
        ("no shard has been opened for 20 s, and the KCL logs errors",),
        (f"{SHARD}: a record has waited for 40 s",),
    ],
)
def test_what_is_told_of_the_table_or_of_the_shard_besides_will_do(reasons: tuple[str, ...]) -> None:
    def told(unread: float, at: float) -> Said:
        return ill(*reasons) if unread > UNREAD_AFTER else WELL

    assert judge("s3", looks(told, (100, 180)), [Withheld(100, 180)]) == []


def test_another_reason_does_not_stand_for_a_shard_that_goes_unread() -> None:
    (line,) = judge(
        "s3", looks(lambda unread, at: ill(f"{OTHER}: held: because") if unread > 20 else WELL, (100, 180))
    )
    assert line.endswith(f"{OTHER}: held: because")


def test_a_table_that_could_be_read_is_no_reason() -> None:
    def told(unread: float, at: float) -> Said:
        return ill(TABLE) if 100 < at < 150 else WELL

    (line,) = judge("s3", looks(told))
    assert line.startswith("s3: the lease table of a was told of")
    assert len(judge("s3", looks(told), [Withheld(10, 130 - WELL_WITHIN_SECONDS)])) == 1
    assert judge("s3", looks(told), [Withheld(90, 140)]) == []


def test_reasons_that_are_not_about_reading_are_not_judged() -> None:
    assert judge("s3", looks(lambda unread, at: ill(f"{SHARD}: a record has waited for 90 s"))) == []


def test_a_supervisor_has_its_time_from_its_start_on() -> None:
    def started(since: float) -> Daemon:
        return lambda unread, at: Said(healthy=True, since=since)

    assert judge("s3", looks(started(130), (100, 135 + ILL_WITHIN_SECONDS))) == []
    assert len(judge("s3", looks(started(129), (100, 136 + ILL_WITHIN_SECONDS)))) == 1


def test_what_one_worker_tells_of_another_need_not() -> None:
    def found(second: Daemon) -> list[str]:
        return judge(
            "s3",
            [
                Look(look.at, {"a": WELL, "b": second(look.unread[SHARD].seconds, look.at)}, look.unread)
                for look in looks(right, (100, 200))
            ],
        )

    assert found(right) == []
    assert [line.split()[2] for line in found(lambda unread, at: WELL)] == ["went"]
    # it has begun a moment ago
    assert found(lambda unread, at: Said(healthy=True, since=at)) == []
    assert "of b was told of" in found(lambda unread, at: right(unread, at) if at < 300 else ill(names()))[0]


def test_nobody_answers_while_the_supervisor_is_gone() -> None:
    found = [Look(look.at, {}, look.unread) for look in looks(right, (100, 200))]
    assert judge("s3", found) == []


def test_a_jvm_that_has_ended_is_a_reason_by_itself() -> None:
    def restarting(unread: float, at: float) -> Said:
        return ill("the JVM has ended", phase="restarting") if unread > 1 else WELL

    assert judge("s3", looks(restarting, (100, 180))) == []
    assert judge("s3", looks(lambda unread, at: Said(healthy=True, phase="preparing"), (100, 180)))
    assert judge("s3", looks(lambda unread, at: Said(healthy=True, phase="stopping"), (100, 180))) == []


def test_a_process_that_holds_records_has_the_time_that_records_may_wait() -> None:
    def holding(unread: float, at: float) -> Said:
        return Said(healthy=True, held=frozenset({SHARD}))

    assert judge("s3", looks(holding, (100, 105 + HELD_WITHIN_SECONDS))) == []
    assert len(judge("s3", looks(holding, (100, 107 + HELD_WITHIN_SECONDS)))) == 1


def test_a_shard_read_to_its_end_may_be_told_of_and_need_not() -> None:
    assert judge("s3", looks(right, (100, 200), at_end=True)) == []
    assert judge("s3", looks(lambda unread, at: WELL, (100, 200), at_end=True)) == []


def test_a_fault_is_measured_by_what_was_said_and_by_what_was_read() -> None:
    found = reading_fault("s3", "denied", looks(right, (100, 180)), began=100, ended=140)
    assert (found.ill_after, found.read_after, found.well_after) == (21, 40, 0)
    assert (
        str(found) == "s3: denied of 40 s: ill after 21 s, all read 40 s after its end, well 0 s after that"
    )


def test_a_fault_that_is_not_come_through_is_told() -> None:
    found = reading_fault("s3", "denied", looks(right, (100, 400)), began=100, ended=140)
    assert (found.ill_after, found.read_after, found.well_after) == (21, None, None)
    assert "never" in str(found)


@pytest.mark.parametrize(
    ("until", "next_began", "late"),
    [
        (190.0, None, None),
        (250.0, None, f"a: {names()}"),
        (250.0, 150.0, "the next such fault had begun, 10 s after it"),
        (250.0, 210.0, f"a: {names()}"),
    ],
)
def test_what_keeps_the_status_ill_a_minute_after_the_end_is_told(
    until: float, next_began: float | None, late: str | None
) -> None:
    found = reading_fault(
        "s3", "denied", looks(right, (100, until)), began=100, ended=140, next_began=next_began
    )
    assert found.late == late
    assert (late or "") in str(found)


def test_reads_that_are_a_few_seconds_apart_are_reads() -> None:
    every: Iterable[Look] = looks(right, (100, 100 + READ_SECONDS))
    assert all(look.all_read for look in every)


@pytest.mark.parametrize(
    ("leaves_at", "told_at", "lines"), [(100.0, 130.0, 0), (100.0, 160.0, 1), (20.0, 90.0, 1)]
)
def test_the_time_of_a_worker_that_stays_counts_from_when_another_has_left(
    leaves_at: float, told_at: float, lines: int
) -> None:
    """The one that left had the lease, renewed it, read nothing and said so, until it ended."""
    gone = looks(lambda unread, at: right(unread, at) if at >= told_at else WELL, (30.0, 200.0))
    both = [
        Look(look.at, {**look.said, "b": right(look.unread[SHARD].seconds, look.at)}, look.unread)
        if look.at < leaves_at
        else look
        for look in gone
    ]
    assert len(judge("s3", both)) == lines


@pytest.mark.parametrize(
    ("released_at", "told_at", "lines"), [(100.0, 140.0, 0), (100.0, 160.0, 1), (120.0, 160.0, 1)]
)
def test_the_time_of_a_shard_that_was_held_counts_from_its_release(
    released_at: float, told_at: float, lines: int
) -> None:
    """It is given what was fetched before then; what is held for too long is found all the same."""

    def daemon(unread: float, at: float) -> Said:
        said = right(unread, at) if at >= told_at else WELL
        return replace(said, held=frozenset({SHARD})) if at < released_at else said

    assert len(judge("s3", looks(daemon, (30.0, 200.0)))) == lines
