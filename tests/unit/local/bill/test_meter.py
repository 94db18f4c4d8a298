"""Sums and numbers of different things."""

from consumer.local.bill.meter import Meter


def test_quantities_add_up_and_things_count_once() -> None:
    meter = Meter()
    meter.add(s3_put_requests=1, s3_stored_bytes=10)
    meter.add(s3_put_requests=2)
    for name in ("a", "b", "a"):
        meter.note("cloudwatch_metrics", name)
    assert meter.counts() == {"s3_put_requests": 3, "s3_stored_bytes": 10, "cloudwatch_metrics": 2}


def test_a_reset_forgets_both() -> None:
    meter = Meter()
    meter.add(s3_put_requests=1)
    meter.note("cloudwatch_metrics", "a")
    meter.reset()
    assert meter.counts() == {}
