"""The feed with hostile records, and what the checker finds in what has become of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

import pytest

from consumer.settings.table import Backend
from tests.chaos.checker import Held, Tally, check
from tests.chaos.hostile import EMBEDDED_LIMITS, hostile_records, large_kinds, small_kinds
from tests.chaos.journal import Fed, Journal, Sort, records
from tests.hostile.kinds import DELIVERED, KINDS, SMALL_BYTES, Kind, Shape
from tests.hostile.payloads import Mark

MIB = 2**20


def outcome_of(kind: Kind, size: int, backend: Backend) -> str:
    """One that it may have, the same for all of a kind."""
    return min(kind.outcomes(Shape(backend=backend), size))


def fed(number: int, name: str, *, size: int = SMALL_BYTES) -> Fed:
    log_id = f"7-{number:010d}"
    data = KINDS[name].build(Mark(f'"log_id":"{log_id}"'.encode()), size)
    return Fed(number, log_id, Sort.HOSTILE, data, KINDS[name])


def journal_of(put: Iterable[Fed]) -> Journal:
    journal = Journal()
    for one in put:
        journal.attempt(one)
        journal.acknowledge(one.number)
    return journal


def compare(
    put: Sequence[Fed], delivered: Iterable[Held], letters: Iterable[Held] = (), backend: Backend = "bigquery"
) -> Tally:
    return check(journal_of(put), backend, delivered=delivered, dead_letters=letters)


def test_one_record_in_ten_is_hostile_and_the_others_are_those_of_the_usual_feed() -> None:
    usual, hostile = (list(islice(feed(7), 4000)) for feed in (records, hostile_records))
    changed = [one for one in hostile if one.kind is not None]
    assert 300 < len(changed) < 500
    assert [one.log_id for one in hostile] == [one.log_id for one in usual]
    assert all(one == other for one, other in zip(usual, hostile, strict=True) if other.kind is None)


def test_the_same_seed_feeds_the_same_records_and_another_one_others() -> None:
    first, again, other = (list(islice(hostile_records(seed), 500)) for seed in (7, 7, 8))
    assert first == again
    assert [one.kind for one in first] != [one.kind for one in other]


def test_every_small_kind_comes_once_before_any_comes_twice_and_now_and_then_a_large_one() -> None:
    hostile = [one for one in islice(hostile_records(7), 4000) if one.kind is not None]
    large = [one for one in hostile if len(one.data) > 0.9 * MIB]
    small = [one.kind.name for one in hostile if one not in large and one.kind is not None]
    kinds = {kind.name for kind in small_kinds()}
    assert set(small[: len(kinds)]) == kinds
    assert 0 < len(large) < 30
    assert max(len(one.data) for one in large) < 2.2 * MIB


def test_kinds_that_cannot_be_told_again_are_left_out() -> None:
    assert not {kind.name for kind in (*small_kinds(), *large_kinds())} & {"empty", *EMBEDDED_LIMITS}
    assert EMBEDDED_LIMITS.keys() <= KINDS.keys()


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
def test_every_kind_where_it_may_be_is_clean(backend: Backend) -> None:
    put = [fed(number, kind.name) for number, kind in enumerate(small_kinds())]
    delivered, letters = [], []
    for one in put:
        assert one.kind is not None
        outcome = outcome_of(one.kind, SMALL_BYTES, backend)
        if outcome == DELIVERED:
            delivered.append(Held(one.data.translate(None, b"\r\n"), "object"))
        else:
            letters.append(Held(one.data, "aside", outcome))
    tally = compare(put, delivered, letters, backend)
    assert tally.examples == []
    assert tally.clean
    assert len(tally.verdicts) == len(put)


def test_a_reason_that_is_wrong_for_the_kind_is_misjudged() -> None:
    put = [fed(0, "half-surrogate")]
    assert compare(put, [], [Held(put[0].data, "aside", "not_unicode")]).clean
    tally = compare(put, [], [Held(put[0].data, "aside", "not_json")])
    assert (tally.misjudged, tally.lost) == (1, 0)
    assert tally.examples[0].startswith("half-surrogate: not_json in aside: ")
    assert compare(put, [Held(put[0].data, "table")]).misjudged == 1


def test_records_that_are_alike_have_to_be_judged_alike() -> None:
    put = [fed(number, "key-text") for number in range(3)]
    taken = [Held(one.data, "table") for one in put]
    assert compare(put, taken).clean
    tally = compare(put, taken[:2], [Held(put[2].data, "aside", "bad_key")])
    assert (tally.misjudged, tally.lost, tally.duplicated) == (1, 0, 0)
    assert tally.examples == ["key-text: judged in several ways: {'delivered': 2, 'bad_key': 1}"]


def test_a_large_record_may_be_judged_otherwise_than_a_small_one_of_its_kind() -> None:
    put = [fed(0, "name-filling"), fed(1, "name-filling", size=MIB)]
    tally = compare(put, [Held(put[0].data, "table")], [Held(put[1].data, "aside", "long_name")])
    assert tally.clean
    assert tally.verdicts == {
        "name-filling": Counter({DELIVERED: 1}),
        "name-filling, large": Counter({"long_name": 1}),
    }


def test_a_record_delivered_before_a_restart_and_dead_lettered_after_it_is_a_double() -> None:
    put = [fed(0, "key-text")]
    both = compare(put, [Held(put[0].data, "table")], [Held(put[0].data, "aside", "bad_key")])
    assert both.duplicated == 1
    assert not both.clean


def test_a_dead_letter_without_a_mark_to_be_read_is_known_by_its_bytes() -> None:
    put = [fed(number, name) for number, name in enumerate(("utf-16", "white-space", "gzip", "utf-16"))]
    assert compare(put, [], [Held(one.data, "aside", "not_json") for one in put]).clean
    assert compare(put, [], [Held(one.data, "aside", "not_json") for one in put[1:]]).lost == 1


def test_a_changed_hostile_record_is_unexpected() -> None:
    put = [fed(0, "member-repeated")]
    tally = compare(put, [Held(put[0].data.replace(b'"x":0}', b'"x":1}'), "table")])
    assert (tally.unexpected, tally.lost) == (1, 1)


def test_only_what_is_surely_delivered_is_waited_for() -> None:
    put = [
        fed(number, name) for number, name in enumerate(("json-array", "key-text", "half-surrogate", "gzip"))
    ]
    assert journal_of(put).expected("bigquery") == 1
    assert journal_of(put).expected("s3") == 3
