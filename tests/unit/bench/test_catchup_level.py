"""Level `catchup`: when an application is at the end, and what is put."""

import json
from itertools import islice

from tests.bench.catchup_level import CASES, RECORD_BYTES, Course, _padded
from tests.bench.report import report


def course(*seen: tuple[float, int, int]) -> Course:
    made = Course()
    for seconds, delivered, put in seen:
        made.see(seconds, delivered, put)
    return made


def test_an_application_is_at_the_end_when_it_is_first_behind_by_no_more_than_waits_there() -> None:
    made = course((1, 0, 1000), (2, 10, 1100), (12, 500, 1100), (22, 1100, 1150), (32, 1100, 1250))
    assert made.row(slack=60) == {
        "caught_up_seconds": 22,
        "delivered_mb_per_second": 1.09,  # 1,090 records of 20 KB in 20 s
        "behind_mb": 3.0,
    }


def test_one_that_stays_behind_has_no_time_and_says_how_far() -> None:
    made = course((0, 10, 1000), (100, 2010, 6000))
    assert made.row(slack=600) == {
        "caught_up_seconds": None,
        "delivered_mb_per_second": 0.4,
        "behind_mb": 79.8,
    }
    assert course().row(slack=600)["behind_mb"] is None


def test_records_that_are_there_before_they_are_counted_as_put_are_not_behind() -> None:
    assert course((5, 12, 10)).row(slack=0)["behind_mb"] == 0


def test_both_ways_of_reading_are_measured_under_the_same_feeds() -> None:
    both = [case for case in CASES if len(case.applications) == 2]
    feeds = {way: {case.feed for case in both if case.retrieval == way} for way in ("POLLING", "FANOUT")}
    assert feeds["POLLING"] == feeds["FANOUT"] == {0.0, 0.5, 1.0}


def test_records_are_logs_of_one_size() -> None:
    made = list(islice(_padded(), 200))
    assert {len(log) for log in made} == {RECORD_BYTES}
    assert len({json.loads(log)["log_id"] for log in made}) == 200


def test_a_row_becomes_a_line() -> None:
    row = {
        "retrieval": "POLLING",
        "applications": 2,
        "backlog_mb": 60.0,
        "feed_mb_per_second": 1.0,
        "backend": "s3",
        **course((0, 10, 1000)).row(slack=0),
        "reads_refused": 7,
    }
    machine = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
    text = report({"level": "catchup", "command": "bin/bench", "runs": 1, "machine": machine, "rows": [row]})
    assert "| POLLING | 2 | 60.0 | 1.0 | s3 | – | – | 19.8 | 7 |" in text
