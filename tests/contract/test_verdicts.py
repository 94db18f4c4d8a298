"""What becomes of a record that is alone: what the documentation says."""

from collections.abc import Iterable

import pytest

from consumer.domain.unread_times import Unread
from tests.contract.backends import Faults
from tests.contract.cases import CASES, Case, record
from tests.contract.expected import chunk_of, expected, taken
from tests.contract.sinks import KINDS, Kind, Shard, deliver, kinds, running, send_all


def wrong(kind: Kind, cases: Iterable[Case]) -> str:
    """Which of them become something else, and what."""
    told: list[str] = []
    with running(kind):
        for case in cases:
            shard = Shard(kind, case.options)
            found = taken(shard, deliver(shard.sink(), chunk_of([case])))
            if found != (wanted := expected(kind, [case])):
                told.append(f"{case.name}: {found!r:.500} and not {wanted!r:.500}")
    return "\n".join(told)


@pytest.mark.parametrize("group", CASES)
@kinds(KINDS)
def test_a_record_becomes_what_the_documentation_says(kind: Kind, group: str) -> None:
    assert not wrong(kind, CASES[group])


@kinds(KINDS)
def test_times_that_hold_none_are_counted_wherever_the_record_goes(kind: Kind) -> None:
    """A missing one is no mistake; what is sent once more is not counted again."""
    values = [
        b'"soon"',
        b'"2026-01-02x03:04"',
        b"7",
        b"[]",
        b'"2026-01-02T03:04:05Z"',
        b'"2026-01-02 03:04:05"',
        b"null",
    ]
    cases = [Case(name="", payload=record(time=value)) for value in values]
    cases.append(Case(name="", payload=b'{"player_id":"a1"}'))
    with running(kind):
        shard = Shard(kind)
        shard.backend.faults = Faults(interrupted=2)
        sink = shard.sink()
        assert sink.prepare(chunk_of(cases[4:])).unread is None
        first = sink.prepare(chunk_of(cases, len(cases) + 1))
        assert first.unread == Unread(4, "'soon'")
        send_all(sink, first)
        assert sink.prepare(chunk_of(cases[3:], 2 * len(cases) + 1)).unread == Unread(1, "[]")
