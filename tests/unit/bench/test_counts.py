"""What arrives is counted by what is in it, at once or when it is asked for."""

import json
from functools import partial

from tests.bench.counts import Behaviour, Counts


def test_numbers_count_at_once_whatever_a_request_says() -> None:
    counts = Counts(Behaviour())
    counts.take(10, 7, lambda: [1, 2])
    assert json.loads(counts.as_json()) == {
        "requests": 1,
        "refused": 0,
        "bytes": 10,
        "unbroken": 0,
        "records": 2,
        "number_sum": 3,
    }


def test_what_requests_say_counts_until_somebody_looks() -> None:
    counts = Counts(Behaviour(looks_later=True))
    looked_at: list[int] = []

    def numbers(number: int) -> list[int]:
        looked_at.append(number)
        return [number]

    for number in (1, 2):
        counts.take(10, 2, partial(numbers, number))
    said = json.loads(counts.as_json())
    assert (said["records"], said["number_sum"], looked_at) == (4, 0, [])
    for _ in range(2):
        counts.look()
        found = json.loads(counts.as_json())
        assert (found["records"], found["number_sum"], looked_at) == (2, 3, [1, 2])
