"""The checker finds what is planted: a loss, a double, a stranger, a record in the wrong place."""

from collections.abc import Iterable
from itertools import islice

import pytest

from consumer.settings.table import Backend
from tests.chaos.checker import Held, Tally, check
from tests.chaos.journal import Fed, Journal, Sort, records

FED = list(islice(records(7), 3000))


@pytest.fixture
def journal() -> Journal:
    """Every record put; the last three not acknowledged."""
    journal = Journal()
    for fed in FED:
        journal.attempt(fed)
    for fed in FED[:-3]:
        journal.acknowledge(fed.number)
    return journal


def held(some: Iterable[Fed], place: str = "object") -> list[Held]:
    return [Held(fed.data, place) for fed in some]


def compare(
    journal: Journal, delivered: Iterable[Held], aside: Iterable[Held] = (), backend: Backend = "s3"
) -> Tally:
    return check(journal, backend, delivered=delivered, dead_letters=aside)


def good(backend: Backend = "s3") -> list[Fed]:
    return [fed for fed in FED if fed.sort.deliverable(backend)]


def bad(backend: Backend = "s3") -> list[Fed]:
    return [fed for fed in FED if not fed.sort.deliverable(backend)]


def test_the_feed_has_records_of_every_sort() -> None:
    assert {fed.sort for fed in FED} == {Sort.LOG, Sort.WITHOUT_KEY, Sort.BROKEN}
    assert len(bad("bigquery")) > len(bad("s3")) > 0


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
def test_everything_once_in_its_place_is_clean(journal: Journal, backend: Backend) -> None:
    tally = compare(journal, held(good(backend)), held(bad(backend)), backend)
    assert tally.clean
    assert tally.delivered == len(good(backend))
    assert tally.dead_letters == len(bad(backend))
    assert (tally.attempted, tally.acknowledged, tally.recovered) == (3000, 2997, 3)


def test_records_that_were_never_acknowledged_may_be_missing(journal: Journal) -> None:
    tally = compare(journal, held(fed for fed in good() if fed.number < 2997), held(bad()))
    assert tally.clean
    assert tally.recovered == 0


def test_a_loss_is_found(journal: Journal) -> None:
    tally = compare(journal, held(good()[1:]), held(bad()))
    assert (tally.lost, tally.clean) == (1, False)
    assert tally.examples == [f"lost: record {good()[0].number}"]


def test_a_double_is_found_with_the_places_of_both(journal: Journal) -> None:
    tally = compare(journal, [*held(good(), "one"), *held(good()[:2], "two")], held(bad()))
    assert (tally.duplicated, tally.lost, tally.clean) == (2, 0, False)
    assert tally.twice_in == {("one", "two"): 2}


def test_a_record_delivered_and_dead_lettered_is_a_double(journal: Journal) -> None:
    assert compare(journal, held(good()), held([*bad(), good()[0]], "aside")).duplicated == 1


@pytest.mark.parametrize(
    "stranger",
    [b"something else", b'{"log_id":"7-0000000001","event":"changed"}', b'{"log_id":"7-0000999999"}'],
)
def test_what_was_never_put_or_was_changed_is_unexpected(journal: Journal, stranger: bytes) -> None:
    tally = compare(journal, [*held(good()), Held(stranger, "object")], held(bad()))
    assert (tally.unexpected, tally.lost, tally.clean) == (1, 0, False)


def test_a_good_record_among_the_dead_letters_is_misjudged(journal: Journal) -> None:
    tally = compare(journal, held(good()[1:]), held([*bad(), good()[0]]))
    assert (tally.misjudged, tally.lost, tally.clean) == (1, 0, False)


def test_json_of_equal_value_is_the_same_record(journal: Journal) -> None:
    spaced = good()[0].data.replace(b'"log_id":', b'"log_id": ')
    tally = compare(journal, [Held(spaced, "object"), *held(good()[1:])], held(bad()))
    assert tally.clean
