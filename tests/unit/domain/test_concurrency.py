"""Additive increase, multiplicative decrease."""

from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.concurrency import AdaptiveLimit


def test_it_starts_at_its_ceiling_and_takes_no_more() -> None:
    limit = AdaptiveLimit(2)
    limit.enter()
    assert limit.has_room
    limit.enter()
    assert not limit.has_room
    limit.leave()
    assert limit.has_room


def test_a_refusal_halves_it_down_to_one() -> None:
    limit = AdaptiveLimit(10)
    seen = []
    for _ in range(5):
        limit.refused(limit.enter())
        limit.leave()
        seen.append(limit.limit)
    assert seen == [5, 2, 1, 1, 1]
    assert limit.has_room


def test_refusals_of_requests_from_before_the_decrease_lower_it_once() -> None:
    limit = AdaptiveLimit(16)
    tickets = [limit.enter() for _ in range(16)]
    for ticket in tickets:
        limit.refused(ticket)
        limit.leave()
    assert limit.limit == 8
    assert limit.refusals_in_a_row == 16
    limit.refused(limit.enter())
    assert limit.limit == 4


def test_it_grows_by_one_for_as_many_successes_as_it_is_high() -> None:
    limit = AdaptiveLimit(8)
    limit.refused(limit.enter())
    assert limit.limit == 4
    successes = 0
    while limit.limit == 4:
        limit.succeeded()
        successes += 1
    assert successes == 5  # the last step falls short of a whole one by a little
    assert limit.refusals_in_a_row == 0


@given(st.integers(1, 20), st.lists(st.sampled_from(["enter", "pass", "refuse"]), max_size=200))
def test_it_stays_between_one_and_its_ceiling_and_never_blocks_an_empty_lane(
    ceiling: int, acts: list[str]
) -> None:
    limit = AdaptiveLimit(ceiling)
    inside: list[int] = []
    for act in acts:
        if act == "enter" and limit.has_room:
            inside.append(limit.enter())
        elif act != "enter" and inside:
            ticket = inside.pop(0)
            limit.succeeded() if act == "pass" else limit.refused(ticket)
            limit.leave()
        assert 1 <= limit.limit <= ceiling
        assert limit.has_room or inside
