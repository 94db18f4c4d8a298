import pytest

from consumer.daemon.supervise.restarts import RestartPolicy

POLICY = RestartPolicy(base_seconds=1, max_seconds=60, reset_seconds=300, limit=3)


@pytest.mark.parametrize(("rapid_ends", "bound"), [(1, 0), (2, 1), (3, 2), (4, 4), (8, 60), (1000, 60)])
def test_after_the_first_end_the_wait_is_random_up_to_a_bound_that_doubles(
    rapid_ends: int, bound: float
) -> None:
    assert POLICY.delay_seconds(rapid_ends, lambda: 0.0) == 0
    assert POLICY.delay_seconds(rapid_ends, lambda: 0.5) == bound / 2


def test_rapid_ends_add_up_and_a_long_run_starts_anew() -> None:
    assert POLICY.after_end(ran_seconds=1, rapid_ends=0) == 1
    assert POLICY.after_end(ran_seconds=299, rapid_ends=1) == 2
    assert POLICY.after_end(ran_seconds=300, rapid_ends=2) == 1


def test_the_supervisor_gives_up_after_more_rapid_ends_than_the_limit() -> None:
    assert [POLICY.gives_up(count) for count in (1, 3, 4)] == [False, False, True]
