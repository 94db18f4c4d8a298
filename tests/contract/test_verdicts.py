"""What becomes of a record that is alone: what the documentation says."""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.contract.cases import ALL_CASES, CASES, DIFFERENCES, Case
from tests.contract.expected import chunk_of, expected, taken
from tests.contract.sinks import KINDS, Difference, Kind, Shard, deliver, kinds, running


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
    assert not wrong(kind, [case for case in CASES[group] if not case.differs(kind)])


def differences() -> list[Any]:
    return [
        pytest.param(kind, each, id=kind.name, marks=pytest.mark.xfail(reason=each.reason, strict=True))
        for each in DIFFERENCES
        for kind in KINDS
        if each.has(kind)
    ]


@pytest.mark.parametrize(("kind", "difference"), differences())
def test_an_exception_of_the_documentation_is_one(kind: Kind, difference: Difference) -> None:
    assert not wrong(kind, [case for case in ALL_CASES if case.difference is difference])
