"""What becomes of a record is the same alone and in company: beside whichever neighbours, in whichever order, wherever
the chunks are cut, and by whichever way it goes to BigQuery."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.cases import ALL_CASES, Case, record
from tests.contract.expected import Taken, chunk_of, expected, taken
from tests.contract.sinks import BIGQUERY_KINDS, KINDS, USUAL, Kind, Options, Shard, deliver, kinds, running
from tests.examples import examples

OPTIONS = tuple(dict.fromkeys(case.options for case in ALL_CASES))
_MANY = 700
"""Records: more than are made into rows at a time."""
_SMALL_BYTES = 2_000


def company(options: Options) -> list[Case]:
    """All that have these settings and are not large."""
    return [case for case in ALL_CASES if case.options == options and len(case.payload) <= _SMALL_BYTES]


def together(kind: Kind, cases: Sequence[Case], options: Options = USUAL) -> Taken:
    """By a process that meets nothing else."""
    with running(kind):
        shard = Shard(kind, options)
        return taken(shard, deliver(shard.sink(), chunk_of(cases)))


@pytest.mark.parametrize("order", ["as they are", "backwards", "latest first"])
@kinds(KINDS)
def test_all_records_in_one_chunk(kind: Kind, order: str) -> None:
    for options in OPTIONS:
        cases = company(options)
        if order == "backwards":
            cases.reverse()
        elif order == "latest first":
            cases.sort(key=lambda case: -case.arrival_ms)
        assert together(kind, cases, options).in_any_order() == expected(kind, cases).in_any_order()


@given(st.data())
@examples(15)
@kinds(KINDS)
def test_a_record_has_the_same_fate_in_any_chunk(kind: Kind, data: st.DataObject) -> None:
    options = data.draw(st.sampled_from(OPTIONS))
    cases = data.draw(st.lists(st.sampled_from(company(options)), min_size=2, max_size=12))
    cut = data.draw(st.integers(1, len(cases) - 1))
    with running(kind):
        shard = Shard(kind, options)
        sink = shard.sink()
        first = taken(shard, deliver(sink, chunk_of(cases[:cut])))
        both = taken(shard, deliver(sink, chunk_of(cases[cut:], cut + 1)))
    assert first.in_any_order() == expected(kind, cases[:cut]).in_any_order()
    rest = expected(kind, cases[cut:], cut + 1)
    wanted = Taken([*expected(kind, cases[:cut]).found, *rest.found], rest.rejected)
    assert both.in_any_order() == wanted.in_any_order()


@kinds([kind for kind in KINDS if kind.method in ("s3", "storage_write")])
def test_records_keep_their_order_where_rows_have_one(kind: Kind) -> None:
    few = company(USUAL)[::20]
    cases = [few[number * 7 % len(few)] for number in range(_MANY)]
    assert together(kind, cases).by_place() == expected(kind, cases).by_place()


# Records that nobody has thought of

_keys = st.sampled_from(
    [
        b"null",
        b"7",
        b"[]",
        b'""',
        rb'"\u0061"',
        rb'"\u00e1"',
        rb'"A\/"',
        rb'"f\u0046"',
        b'"0"',
        b'"9g"',
        b'"g"',
    ]
)
_times = st.builds(
    lambda day, separator, clock, fraction, zone: f'"{day}{separator}{clock}{fraction}{zone}"'.encode(),
    st.sampled_from(["2026-01-02", "2016-01-06", "2015-12-31", "2027-01-02", "2028-02-29"]),
    st.sampled_from(["T", "T", " "]),
    st.sampled_from(["03:04:05", "23:59:59"]),
    st.sampled_from(["", "", ".6", ".678", ".678901", ".6789019"]),
    st.sampled_from(["Z", "Z", "Z", "", "+00:00", "+13:59", "-00:30"]),
)
_others = st.sampled_from(
    [
        *(
            b"",
            b"",
            b"",
            b',"x":-0',
            b',"x":1e400',
            rb',"x":"\ud800"',
            b',"x":01',
            b',"time":null',
            b",",
            b'\n,"x":\r1',
        ),
        *(
            b',"player_id":1',
            rb',"player\u005fid":"b"',
            b',"x":{"player_id":"b","time":1}',
            b'}{"x":1',
            b',"x":"\t"',
        ),
    ]
)


@given(st.lists(st.builds(record, _keys, st.just(b"null") | _times, _others), min_size=1, max_size=40))
@examples(30)
def test_every_way_to_bigquery_routes_a_record_alike(payloads: list[bytes]) -> None:
    cases = [Case(name="", payload=payload) for payload in payloads]
    ways = {kind.name: _routes(together(kind, cases)) for kind in BIGQUERY_KINDS}
    (wanted, *others) = ways.items()
    assert [name for name, routes in others if routes != wanted[1]] == [], wanted


def _routes(result: Taken) -> tuple[list[str], object]:
    """Which rows there are, by table, key and time, and the reasons of the others."""
    rows = [
        f"{table} {row['player_id']} {row['time']}" for table, row in result.found if isinstance(row, dict)
    ]
    return sorted(rows), result.rejected
