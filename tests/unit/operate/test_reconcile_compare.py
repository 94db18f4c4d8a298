"""Records of both backends against each other: sums find where to look, marks find what is missing or doubled."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from consumer.operate.reconcile.compare import (
    UNTIMED,
    Bucket,
    Copy,
    Kind,
    Sum,
    Sums,
    add,
    differences,
    unequal,
)

TABLE, SPAN = "player_log_a", 3_600_000


def line(key: str | None, time_us: int | None, text: str) -> Copy:
    return Copy(key, time_us, text, Kind.DELIVERED, f"line {text}")


def row(key: str | None, time_us: int | None, same: str) -> Copy:
    return Copy(key, time_us, same, Kind.DELIVERED, f"row {same}")


def letter(key: str | None, time_us: int | None, same: str | None, kind: Kind = Kind.DEAD_LETTER) -> Copy:
    return Copy(key, time_us, same, kind, f"letter {same}")


def found(
    s3: Iterable[Copy], bigquery: Iterable[Copy], *, identified: bool = False
) -> Counter[tuple[str, str]]:
    return Counter((one.backend, one.problem) for one in differences(s3, bigquery, identified=identified))


RECORDS = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(1, 4)), st.integers(0, 2)), max_size=30
)
"""Key, own time, content: many share all of them."""


def sides(records: Sequence[tuple[str, int | None, int]]) -> tuple[list[Copy], list[Copy], list[Copy]]:
    """Lines, rows by identity and rows by content. A row without a time of its own has that of its arrival."""
    lines, identified, alike = [], [], []
    for number, (key, time_us, content) in enumerate(records):
        arrival_us = 1_000 + number
        lines.append(line(key, time_us, f"{content} number {number}"))
        filed_us = arrival_us if time_us is None else time_us
        identified.append(row(key, filed_us, f"shard/{number}"))
        alike.append(row(key, filed_us, f"{key}{filed_us}{content}"))
    return lines, identified, alike


@given(RECORDS, st.randoms(use_true_random=False))
def test_what_both_have_differs_in_nothing_in_whatever_order(
    records: list[tuple[str, int | None, int]], chance: random.Random
) -> None:
    lines, identified, alike = sides(records)
    chance.shuffle(lines)
    chance.shuffle(identified)
    chance.shuffle(alike)
    assert not found(lines, identified, identified=True)
    assert not found(lines, alike)


@given(RECORDS.filter(bool), st.data())
def test_a_deleted_row_and_a_doubled_row_are_found_by_identity_even_with_one_mark(
    records: list[tuple[str, int | None, int]], data: st.DataObject
) -> None:
    lines, rows, _ = sides([*records, *records])
    deleted, doubled = data.draw(st.permutations(range(len(rows))))[:2]
    held = [*rows[:deleted], *rows[deleted + 1 :], rows[doubled]]
    said = list(differences(lines, held, identified=True))
    assert Counter((one.backend, one.problem) for one in said) == {
        ("bigquery", "missing"): 1,
        ("bigquery", "doubled"): 1,
    }
    assert next(one.copy for one in said if one.problem == "doubled") == rows[doubled]
    assert next(one.copy.key for one in said if one.problem == "missing") == rows[deleted].key


@given(RECORDS, st.sets(st.integers(0, 29)))
def test_lines_that_are_gone_are_named_by_their_rows(
    records: list[tuple[str, int | None, int]], gone: set[int]
) -> None:
    lines, rows, alike = sides(records)
    kept = [one for number, one in enumerate(lines) if number not in gone]
    lost = len(lines) - len(kept)
    assert sum(found(kept, rows, identified=True).values()) == lost
    assert found(kept, rows, identified=True)["s3", "missing"] == lost
    assert sum(found(kept, alike).values()) == lost


@given(RECORDS, st.sets(st.integers(0, 29)))
def test_whatever_differs_in_number_is_told_in_that_number(
    records: list[tuple[str, int | None, int]], gone: set[int]
) -> None:
    lines, _, alike = sides(records)
    kept = [one for number, one in enumerate(alike) if number not in gone]
    said = found(lines, kept)
    assert said["bigquery", "missing"] + said["s3", "doubled"] == sum(said.values()) == len(lines) - len(kept)


def test_equal_rows_beyond_the_equal_lines_are_doubled_and_others_are_missing_in_S3() -> None:
    lines = [line("k", 1, "x")]
    assert found(lines, [row("k", 1, "x"), row("k", 1, "x")]) == {("bigquery", "doubled"): 1}
    assert found(lines, [row("k", 1, "x"), row("k", 1, "y")]) == {("s3", "missing"): 1}
    assert found([], [row("k", 1, "x"), row("k", 1, "x")]) == {("s3", "missing"): 2}


def test_equal_lines_are_doubled_in_S3_only_beyond_the_equal_rows() -> None:
    twice = [line("k", 1, "x"), line("k", 1, "x")]
    assert found(twice, [row("k", 1, "a")]) == {("s3", "doubled"): 1}
    assert found(twice, [row("k", 1, "a"), row("k", 1, "a")]) == {}
    assert found(twice, [row("k", 1, "a"), row("k", 1, "a"), row("k", 1, "b")]) == {("s3", "missing"): 1}
    assert found(twice, [row("k", 1, "a"), row("k", 1, "b")], identified=True) == {}


def test_a_dead_letter_of_one_stands_for_the_record_of_the_other() -> None:
    lines = [line("k", 1, "x")]
    assert found(lines, [letter("k", 1, "s/1")]) == {}
    assert found([], [letter("k", 1, "s/1")]) == {("s3", "missing"): 1}
    assert found([letter("k", 1, "s/1")], [letter("k", 1, "s/1")]) == {}
    assert found([letter("k", 1, "s/1")], []) == {("bigquery", "missing"): 1}


def test_a_dead_letter_of_what_passed_later_is_no_second_record() -> None:
    lines = [line("k", 1, "x")]
    assert found(lines, [row("k", 1, "x"), letter("k", 1, None)]) == {}
    assert found(lines, [row("k", 1, "s/1"), letter("k", 1, "s/1")], identified=True) == {}
    assert found([*lines, letter("k", 1, "x")], [row("k", 1, "r")]) == {}


def test_a_dead_letter_that_is_surely_another_record_counts() -> None:
    lines = [line("k", 1, "x")]
    assert found([*lines, letter("k", 1, "y")], [row("k", 1, "r")]) == {("bigquery", "missing"): 1}
    rows = [row("k", 1, "s/1"), letter("k", 1, "s/2")]
    assert found(lines, rows, identified=True) == {("s3", "missing"): 1}


def test_a_redriven_letter_is_there_whether_its_row_is_or_not() -> None:
    lines = [line("k", 1, "x")]
    redriven = letter("k", 1, "s/1", Kind.REDRIVEN)
    assert found(lines, [redriven]) == {}
    assert found(lines, [redriven, row("k", 1, "x")]) == {}
    assert found([], [redriven]) == {}


def test_a_line_without_a_time_is_matched_by_its_key_with_what_is_left() -> None:
    lines = [line("k", None, "x"), line("k", 5, "y")]
    assert found(lines, [row("k", 900, "a"), row("k", 5, "b")], identified=True) == {}
    assert found(lines, [row("k", 5, "b")], identified=True) == {("bigquery", "missing"): 1}
    assert found(lines, [row("j", 900, "a"), row("k", 5, "b")], identified=True) == {
        ("bigquery", "missing"): 1,
        ("s3", "missing"): 1,
    }


def sums_of(*records: tuple[int, int | None]) -> Sums:
    """Of parts and own times."""
    sums: Sums = {}
    for part, time_us in records:
        add(sums, Bucket(TABLE, SPAN, part), time_us)
    return sums


def test_equal_sums_need_no_look() -> None:
    assert unequal(sums_of((0, 5), (1, 70)), sums_of((1, 70), (0, 5))) == []


def test_one_record_in_the_place_of_another_shows_in_the_sums() -> None:
    [one] = unequal(sums_of((0, 5), (0, 6), (1, 70)), sums_of((0, 5), (0, 5), (1, 70)))
    assert (one.parts, one.s3, one.bigquery) == (frozenset({0}), 2, 2)


def test_a_doubled_identity_shows_where_the_records_are_all_there() -> None:
    rows = {Bucket(TABLE, SPAN, 0): Sum(1, 5, doubled=1)}
    [one] = unequal(sums_of((0, 5)), rows)
    assert one.doubled == 1
    [one] = unequal(sums_of((0, 5), (UNTIMED, None)), {Bucket(TABLE, SPAN, 0): Sum(2, 0, doubled=1)})
    assert one.parts is None


def test_records_without_a_time_may_be_in_any_part_of_their_span() -> None:
    lines = sums_of((0, 5), (UNTIMED, None), (UNTIMED, None))
    assert unequal(lines, sums_of((0, 5), (0, 9), (3, 180))) == []
    assert unequal(lines, sums_of((0, 5), (3, 180))) != []
    assert unequal(lines, sums_of((3, 180), (3, 181), (4, 240))) != []  # that of part 0 is not there


@given(RECORDS, st.sets(st.integers(0, 29)), st.integers(1, 4))
def test_sums_differ_wherever_records_do(
    records: list[tuple[str, int | None, int]], gone: set[int], parts: int
) -> None:
    """Whatever is missing is within what is looked at."""
    lines, _, rows = sides(records)
    kept = [one for number, one in enumerate(rows) if number not in gone]
    s3 = sums_of(*((_part(one, parts), one.time_us) for one in lines))
    bigquery = sums_of(*((_part(one, parts), one.time_us) for one in kept))
    looked = unequal(s3, bigquery)
    left = [one for one in lines if any(each.holds(_part(one, parts)) for each in looked)]
    right = [one for one in kept if any(each.holds(_part(one, parts)) for each in looked)]
    assert found(left, right) == found(lines, kept)


def _part(copy: Copy, parts: int) -> int:
    return UNTIMED if copy.time_us is None else copy.time_us % parts
