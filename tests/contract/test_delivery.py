"""What becomes of records when the backend refuses some, fails, or is met by another process."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.contract.backends import Faults
from tests.contract.cases import CASES, Case, Row, record
from tests.contract.expected import Taken, chunk_of, expected, taken
from tests.contract.sinks import BIGQUERY_KINDS, KINDS, USUAL, Kind, Shard, deliver, kinds, running, send_all
from tests.examples import examples

NOT_JSON = Case(name="not JSON", payload=b"{", s3="not_json", bigquery="not_json")


def good(key: str, number: int = 0) -> Case:
    return Case(
        name=key,
        payload=record(key=f'"{key}"'.encode(), more=b',"score":%d' % number),
        bigquery=Row(key[0], key),
    )


def some_odd_records() -> list[Case]:
    """Those that the C library leaves to Python, some of them rows."""
    return [
        case for group in ("times", "JSON", "routing") for case in CASES[group][::3] if case.options == USUAL
    ]


def refused(case: Case) -> Case:
    """By BigQuery; S3 refuses nothing."""
    return replace(case, bigquery="rejected")


def delivered(shard: Shard, cases: Sequence[Case]) -> Taken:
    with running(shard.kind):
        return taken(shard, deliver(shard.sink(), chunk_of(cases))).in_any_order()


def wanted(kind: Kind, cases: Sequence[Case]) -> Taken:
    return expected(kind, cases).in_any_order()


KEYS = ("a1", "a2", "b1", "a3", "b2", "c1", "a4")
COMPANY = [good(key, number) for number, key in enumerate(KEYS)]


def check_refused(kind: Kind, faults: Faults) -> None:
    """Those with the keys that the backend refuses become rejections, the others arrive."""
    bad = faults.bad_keys | faults.poison_keys
    shard = Shard(kind)
    shard.backend.faults = faults
    cases = [*COMPANY, NOT_JSON]
    fates = [refused(case) if case.name in bad and kind.is_bigquery else case for case in cases]
    assert delivered(shard, cases) == wanted(kind, fates)


@kinds(KINDS)
def test_I5_a_row_that_is_refused_costs_its_neighbours_nothing(kind: Kind) -> None:
    check_refused(kind, Faults(bad_keys=frozenset({"a1", "a4", "b1"})))


@kinds(KINDS)
def test_I5_every_row_of_a_request_is_refused(kind: Kind) -> None:
    check_refused(kind, Faults(bad_keys=frozenset({"b1", "b2", "c1"})))


@kinds(KINDS)
def test_I5_a_request_that_is_refused_is_halved_down_to_the_record(kind: Kind) -> None:
    check_refused(kind, Faults(poison_keys=frozenset({"a2", "c1"})))


@pytest.mark.parametrize("closed_as", ["rows", "request"])
@pytest.mark.parametrize("closed", range(1, 8))
@kinds(BIGQUERY_KINDS)
def test_I5_a_table_that_refuses_everything_makes_no_dead_letter(
    kind: Kind, closed: int, closed_as: Literal["rows", "request"]
) -> None:
    check_refused(kind, Faults(closed=closed, closed_as=closed_as))


@pytest.mark.parametrize("most_rows", [1, 2, 3])
@kinds(KINDS)
def test_a_request_that_is_too_large_is_made_smaller(kind: Kind, most_rows: int) -> None:
    check_refused(kind, Faults(most_rows=most_rows))


@kinds(KINDS)
def test_what_was_interrupted_goes_on(kind: Kind) -> None:
    check_refused(kind, Faults(interrupted=2))


few = st.integers(0, 3)
faults = st.builds(
    lambda lost, interrupted, is_lost, **others: Faults(
        lost=lost if is_lost else 0, interrupted=0 if is_lost else interrupted, **others
    ),
    # a stream that is gone with an open answer holds the shard
    few,
    few,
    st.booleans(),
    down=few,
    closed=few,
    closed_as=st.sampled_from(["rows", "request"]),
    bad_keys=st.frozensets(st.sampled_from(KEYS), max_size=2),
    poison_keys=st.frozensets(st.sampled_from(KEYS), max_size=2),
    most_rows=st.sampled_from([1, 2, 3, 100]),
)


@given(faults=faults)
@examples(20)
@example(faults=Faults(bad_keys=frozenset({"c1"})))
@kinds(KINDS)
def test_I1_every_record_is_found_once_or_rejected_whatever_fails(kind: Kind, faults: Faults) -> None:
    check_refused(kind, replace(faults))


# Another process, which reads the chunk again


@pytest.mark.parametrize("other_native", [False, True], ids=["as before", "C for Python, Python for C"])
@kinds(KINDS)
def test_I2_I3_a_chunk_that_is_read_again_adds_nothing(kind: Kind, other_native: bool) -> None:
    shard = Shard(kind)
    shard.backend.faults = Faults(bad_keys=frozenset({"a2", "b1"}), lost=2)
    cases = [*COMPANY, NOT_JSON, *some_odd_records()]
    first = delivered(shard, cases)
    known = shard.backend.identities()[:]
    shard.kind = replace(kind, native=kind.native != other_native)
    assert delivered(shard, cases) == first
    assert set(shard.backend.identities()) == set(known)


@kinds(KINDS)
def test_I2_no_chunk_takes_the_place_of_another(kind: Kind) -> None:
    shard = Shard(kind)
    with running(kind):
        sink = shard.sink()
        for begin, end in ((0, 3), (3, 6), (6, 7)):
            deliver(sink, chunk_of(COMPANY[begin:end], begin + 1))
    assert taken(shard, []).in_any_order() == wanted(kind, COMPANY)


@kinds([kind for kind in KINDS if not kind.is_bigquery])
def test_I2_a_shorter_chunk_with_the_same_beginning_overwrites_nothing(kind: Kind) -> None:
    shard = Shard(kind)
    delivered(shard, COMPANY)
    found = delivered(shard, COMPANY[:3]).found
    assert [found.count(each) for each in expected(kind, COMPANY).found] == [2, 2, 2, 1, 1, 1, 1]


@kinds([kind for kind in KINDS if kind.method in ("insert_all", "storage_write")])
def test_I3_rows_that_are_read_again_in_other_chunks_add_nothing(kind: Kind) -> None:
    shard = Shard(kind)
    first = delivered(shard, COMPANY)
    with running(kind):
        sink = shard.sink()
        for begin, end in ((0, 2), (2, 3), (3, len(COMPANY))):
            deliver(sink, chunk_of(COMPANY[begin:end], begin + 1))
    assert taken(shard, []).in_any_order().found == first.found


@kinds(KINDS)
def test_I1_a_process_that_dies_between_two_requests_loses_nothing(kind: Kind) -> None:
    for sent in range(4):
        shard = Shard(kind)
        with running(kind):
            sink = shard.sink()
            for request in sink.prepare(chunk_of(COMPANY)).requests[:sent]:
                sink.send(request)
        assert delivered(shard, COMPANY) == wanted(kind, COMPANY)


# What was rejected and is asked again


@kinds(KINDS)
def test_rejected_records_pass_once_the_backend_takes_them(kind: Kind) -> None:
    """By storage_write they stay rejected: later rows stand in their place."""
    shard = Shard(kind)
    shard.backend.faults = Faults(bad_keys=frozenset({"a2", "b1"}))
    with running(kind):
        sink = shard.sink()
        cases = [*COMPANY, NOT_JSON]
        rejections = deliver(sink, chunk_of(cases))
        shard.backend.faults = Faults(bad_keys=frozenset({"b1"}))
        rejections = send_all(sink, sink.reconsider(chunk_of(cases), rejections))
    still = {"a2", "b1"} if kind.method == "storage_write" else {"b1"} if kind.is_bigquery else set()
    cases = [refused(case) if case.name in still else case for case in cases]
    assert taken(shard, rejections).in_any_order() == wanted(kind, cases)


# What is counted


@kinds([kind for kind in KINDS if kind.is_bigquery])
def test_rows_are_counted_that_the_backend_has_taken(kind: Kind) -> None:
    counts: Counter[str] = Counter()
    shard = Shard(kind)
    shard.backend.faults = Faults(bad_keys=frozenset({"a1", "b1"}), down=2, interrupted=1)
    with running(kind):
        deliver(shard.sink(), chunk_of([*COMPANY, NOT_JSON]), counts)
    assert counts[f"{kind.method}_rows"] == len(COMPANY) - 2
