"""How long a backend takes to go on after a kill, by what it held when."""

from tests.chaos.watch import next_delivery, recovery_seconds


def test_what_was_on_its_way_at_the_kill_is_no_recovery() -> None:
    samples = [(1.0, 10), (2.0, 20), (4.0, 30), (6.0, 30), (9.0, 31)]
    assert recovery_seconds(samples, 2.0) == 7.0


def test_a_backend_that_did_not_go_on_has_none() -> None:
    assert recovery_seconds([(1.0, 10), (20.0, 10)], 2.0) is None


def test_the_next_delivery_counts_from_the_last_look_before() -> None:
    samples = [(1.0, 10), (2.0, 20), (4.0, 20), (6.0, 30)]
    assert next_delivery(samples, 2.5) == 3.5
    assert next_delivery(samples, 7.0) is None
