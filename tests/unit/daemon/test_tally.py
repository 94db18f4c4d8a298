"""Sums over lives of shard processes; tests/unit/shard/test_conservation.py lets real ones live at random."""

from itertools import accumulate

import msgspec

from consumer.daemon.report.pressure import Pressure, Waits
from consumer.daemon.report.tally import Tally
from consumer.domain.events import StatusEvent


def event(pid: int = 7, *, started_ms: int = 0, in_flight: int = 0, **counters: int) -> StatusEvent:
    return StatusEvent(
        shard="a",
        pid=pid,
        state="running",
        started_ms=started_ms,
        in_flight_records=in_flight,
        counters=counters,
    )


def test_a_process_that_starts_again_adds_to_what_the_one_before_has_counted() -> None:
    tally = Tally()
    tally.update(event(7, requests=5))
    tally.update(event(8, requests=2))
    tally.keep({8}.__contains__, now=0)
    tally.update(event(8, requests=3))
    assert tally.totals().counters["requests"] == 8
    tally.keep({8}.__contains__, now=100)
    assert tally.totals().counters["requests"] == 8


def test_last_words_that_come_after_the_end_of_a_process_count() -> None:
    tally = Tally()
    tally.update(event(in_flight=5, records_read=5))
    tally.keep(lambda _: False, now=0)
    tally.keep(lambda _: False, now=10)
    tally.update(event(in_flight=2, records_read=5, records_delivered=3))
    tally.keep(lambda _: False, now=11)
    totals = tally.totals()
    assert (totals.counters["records_delivered"], totals.left, totals.conservation) == (3, 2, 0)


def test_a_process_that_has_the_id_of_an_ended_one_is_another() -> None:
    tally = Tally()
    tally.update(event(started_ms=1, in_flight=4, records_read=4))
    tally.update(event(started_ms=2, records_read=1, records_delivered=1))
    totals = tally.totals()
    assert (totals.counters["records_read"], totals.left, totals.in_flight) == (5, 4, 0)


def test_latencies_of_all_are_added_up() -> None:
    tally = Tally()
    for pid in (1, 2):
        one = event(pid)
        counts = [pid] * len(tally.totals().latency_counts)
        tally.update(msgspec.structs.replace(one, write_latency_counts=counts, write_latency_sum_seconds=0.5))
    totals = tally.totals()
    assert (set(totals.latency_counts), totals.latency_sum_seconds) == ({3}, 1.0)


def test_back_pressure_is_the_share_of_the_last_minute() -> None:
    waits = Waits()
    assert waits.share == 0
    for second, waited_ms in enumerate(accumulate([0, *[1000] * 60, *[100] * 60])):
        waits.add(waited_ms, now=second)
        if second == 60:
            assert waits.share == 1
    assert round(waits.share, 3) == 0.1
    assert Pressure.of(0.1) is Pressure.OK
    assert Pressure.of(0.11) is Pressure.of(0.5) is Pressure.LOW
    assert Pressure.of(0.51) is Pressure.HIGH
