"""Waiting before a request is repeated: full jitter, a cap, and patience with what a person has to mend (I6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, TransientError
from consumer.domain.retries import SETUP_SLOWDOWN, RetryPolicy

POLICY = RetryPolicy(base_seconds=0.1, max_seconds=30)
OUTAGE = TransientError("503")
SETUP = SetupError("no such bucket", setting="s3.bucket")


def longest(error: DeliveryError, attempt: int, policy: RetryPolicy = POLICY) -> float:
    return policy.delay_seconds(error, attempt, lambda: 1.0)


@given(st.integers(0, 2000), st.floats(0, 1, exclude_max=True), st.sampled_from([OUTAGE, SETUP]))
def test_every_wait_lies_between_nothing_and_the_ceiling_of_its_attempt(
    attempt: int, random: float, error: DeliveryError
) -> None:
    wait = POLICY.delay_seconds(error, attempt, lambda: random)
    assert wait == pytest.approx(random * longest(error, attempt))
    assert 0 <= wait <= POLICY.max_seconds


def test_the_ceiling_doubles_with_each_attempt_up_to_the_cap() -> None:
    ceilings = [longest(OUTAGE, attempt) for attempt in range(12)]
    assert ceilings[:9] == pytest.approx([0.1 * 2**attempt for attempt in range(9)])
    assert ceilings[9:] == [30, 30, 30]


def test_what_a_person_has_to_mend_is_asked_for_more_slowly() -> None:
    assert longest(SETUP, 0) == pytest.approx(SETUP_SLOWDOWN * longest(OUTAGE, 0))
    assert all(longest(SETUP, attempt) >= longest(OUTAGE, attempt) for attempt in range(40))
    assert longest(SETUP, 5) == 30


@pytest.mark.parametrize("attempt", [33, 1000, 10**6, 10**18])
def test_I6_no_number_of_attempts_is_too_many(attempt: int) -> None:
    assert longest(OUTAGE, attempt) == 30
    huge = RetryPolicy(base_seconds=600, max_seconds=1e300)
    assert longest(SETUP, attempt, huge) < 1e300


def test_the_lowest_random_number_means_no_wait() -> None:
    assert POLICY.delay_seconds(OUTAGE, 5, lambda: 0.0) == 0


@pytest.mark.parametrize(("base", "most"), [(0, 1), (-1, 1), (2, 1)])
def test_a_base_that_is_not_positive_or_above_the_cap_is_refused(base: float, most: float) -> None:
    with pytest.raises(ValueError, match=r"retry\.base"):
        RetryPolicy(base_seconds=base, max_seconds=most)


def test_a_setup_error_names_the_setting_to_look_at() -> None:
    assert SETUP.setting == "s3.bucket"
    assert "s3.bucket" in str(SETUP)
    assert not isinstance(RequestRefused("400"), SetupError | TransientError)
