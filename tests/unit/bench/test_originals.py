import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bench.batches import FIRST_NUMBER, Batch, Batches
from tests.bench.command import bench_main
from tests.bench.inputs import Input
from tests.bench.originals_level import feed
from tests.bench.originals_table import Attempt, Run, figures
from tests.bench.tables import Tables

BATCHES = Batches(input=Input(record_bytes=700, count=1_050, arrivals_per_second=1_000), size=100, players=40)


def payloads(batch: Batch) -> list[Any]:
    records = json.loads(batch.text)["records"]
    return [json.loads(base64.b64decode(record["data"])) for record in records]


def test_the_columns_are_those_of_a_run() -> None:
    row = figures(
        Run(
            attempts=[Attempt(2.0, 500), Attempt(1.0, 0), Attempt(2.0, 300), Attempt(1.0, 0)],
            end_seconds=2.0,
            total_seconds=10.0,
            all_records=5_000,
            written=900,
            requests=64,
            peak_rss_bytes=100 * 2**20,
        )
    )
    assert row == {
        "peak_rss_mib": 100.0,
        "total_average_seconds": 2.5,
        "average_seconds": 2.0,
        "interval_seconds": 0.5,
        "average_records": 200.0,
        "records_per_second": 100,
        "total_records_per_second": 80,
        "error_rate_percent": 50.0,
        "ended_by": "time",
        "batches": 4,
        "records": 800,
        "surplus_rows": 100,
        "requests": 64,
    }


def test_every_record_has_a_number_and_a_place_of_its_own() -> None:
    batches = list(BATCHES)
    assert [batch.records for batch in batches] == [100] * 10 + [50]
    numbers = [log["number"] for batch in batches for log in payloads(batch)]
    assert numbers == list(range(FIRST_NUMBER, FIRST_NUMBER + 1_050))
    records = [record for batch in batches for record in json.loads(batch.text)["records"]]
    assert len({record["sequenceNumber"] for record in records}) == 1_050
    assert {len(base64.b64decode(record["data"])) for record in records} == {700}
    arrivals = [record["approximateArrivalTimestamp"] for record in records]
    assert arrivals == [arrivals[0] + place for place in range(1_050)]


def test_each_batch_brings_one_new_player() -> None:
    known: set[str] = set()
    new = []
    for batch in BATCHES:
        players = {log["player_id"] for log in payloads(batch)}
        assert len(players) == 40
        new.append(len(players - known))
        known |= players
    assert new == [40] + [1] * 10
    assert len({player[0] for player in known}) == 16


def test_a_batch_that_fails_is_given_again_as_a_whole() -> None:
    answers = iter([{}, {"failed": "Not found"}, {"failed": "Not found"}, {}])
    given = []

    def call(text: bytes) -> dict[str, str]:
        given.append(text)
        return next(answers)

    attempts = feed([Batch(b"one", 3), Batch(b"two", 5)], call, seconds=60, clock=lambda: 0.0)
    assert given == [b"one", b"two", b"two", b"two"]
    assert [attempt.records for attempt in attempts] == [3, 0, 0, 5]


def seconds_passing() -> Iterator[float]:
    yield from range(1_000)


@pytest.mark.parametrize(("seconds", "attempts"), [(0, 1), (3, 1), (4, 2), (6, 3)])
def test_no_batch_begins_when_the_time_is_over_but_the_first(seconds: int, attempts: int) -> None:
    clock = seconds_passing().__next__  # a look before each attempt, and one after it
    failing = feed([Batch(b"one", 3)] * 9, lambda text: {"failed": ""}, seconds=seconds, clock=clock)
    assert len(failing) == attempts
    taking = feed([Batch(b"one", 3)] * 9, lambda text: {}, seconds=seconds, clock=seconds_passing().__next__)
    assert [attempt.seconds for attempt in taking] == [1.0] * attempts


def test_a_new_table_takes_no_rows_for_a_while() -> None:
    now = 100.0
    tables = Tables(new_seconds=5.0, clock=lambda: now)
    assert not tables.takes_rows("player_log_a")
    assert tables.create("player_log_a")
    now = 104.9
    assert not tables.takes_rows("player_log_a")
    assert not tables.create("player_log_a")
    now = 105.0
    assert tables.takes_rows("player_log_a")
    assert not tables.takes_rows("player_log_b")


@pytest.mark.parametrize("delay_ms", ["49", "501", "some"])
def test_the_latency_of_requests_is_one_that_the_systems_have_seen(delay_ms: str) -> None:
    with pytest.raises(SystemExit) as exit_info:
        bench_main(["originals", "--delay-ms", delay_ms])
    assert exit_info.value.code == 2
