"""Rows of typed columns by the C library are those that Python makes with pyarrow."""

import json
import subprocess
import sys
from array import array
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.records import Record
from consumer.native import library
from consumer.settings.schema import Column
from consumer.settings.values import Value
from consumer.sinks.bigquery.arrow_rows import finder as row_finder
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.fields_rows import FieldsRows
from consumer.sinks.bigquery.arrow_rows.log_columns import LogColumns
from consumer.sinks.bigquery.arrow_rows.log_rows import (
    MAX_ROW_BYTES,
    ROW_OVERHEAD_BYTES,
    RowMaker,
    Rows,
)
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.arrow_rows.typed_columns import TypedColumns
from consumer.sinks.bigquery.arrow_rows.typed_rows import TypedRows
from tests.examples import examples
from tests.unit.sinks.bigquery.storage_write.builders import SHARD, SIMPLE, decoded, field_rules
from tests.unit.sinks.json_bytes import mutated, texts

pytestmark = pytest.mark.skipif(library.load() is None, reason="without the C library there is one way only")

ARRIVAL_MS = 1_767_322_000_000
"""2026-01-02T02:46:40Z"""

LAST_ARRIVAL_MS = 7_258_118_399_999
DAY_MS = 86_400_000


def record(payload: bytes | dict[str, Any], arrival_ms: int = ARRIVAL_MS) -> Record:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Record(data, "key", "1", 0, arrival_ms)


class BothWays:
    def __init__(self, chosen: Rules) -> None:
        self.own = row_maker(chosen, shard=SHARD)
        assert not isinstance(self.own, TypedRows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(library, "load", lambda: None)
            self.other = row_maker(chosen, shard=SHARD)

    def make(self, records: Sequence[Record], indices: Sequence[int] | None = None) -> bool:
        """Whether the C library wrote the rows, once it is known that it makes no difference."""
        indices = range(len(records)) if indices is None else indices
        found, rejections = self.own.make(Records.of(records), indices)
        expected, expected_rejections = self.other.make(records, indices)
        assert sorted(rejections, key=lambda one: one.index) == sorted(
            expected_rejections, key=lambda one: one.index
        )
        assert found.keys() == expected.keys()
        for name, rows in found.items():
            self.assert_same(rows, expected[name])
        return all(isinstance(rows.columns, TypedColumns | LogColumns) for rows in found.values())

    def assert_same(self, mine: Rows, theirs: Rows) -> None:
        assert list(mine.indices) == list(theirs.indices)
        assert len(mine.sizes) == len(mine.indices)
        batch, expected = decoded(self.own, mine), decoded(self.other, theirs)
        assert batch.schema.equals(expected.schema)
        # equal to the last bit, and with a null where the other has one
        assert repr(batch.to_pylist()) == repr(expected.to_pylist())


def times(odd: bool) -> st.SearchStrategy[Any]:
    usual = ["2026-01-02T03:04:05.678Z", "2026-02-28T23:59:59Z", "2024-02-29T00:00:00.001Z", None]
    others = [
        *("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.12345Z"),
        *("2026-01-02 03:04:05", "2026-01-02T03:04:05+01:00", "2026-01-02T03:04:05.1234567Z"),
        *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+05:00"),
        *("2026-02-29T00:00:00Z", "1999-01-01T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:60Z"),
        *("2026-01-02T03:04:05.Z", "soon", "", 7, 1767322000, True, "2026-01-02T03:04:05"),
    ]
    return st.sampled_from(usual + others if odd else usual)


usual_numbers = st.floats(-9e99, 9e99).filter(lambda number: not 0 < abs(number) < 1e-99) | st.integers(
    -(2**53), 2**53
)
odd_values = st.one_of(
    st.integers(-(2**65), 2**65),
    st.sampled_from(["12", "1.5", "true", "null", "Infinity", "-inf", "NaN", "", 1.0, 1e300, -0.0, 10**30]),
    st.sampled_from(["2026-01-02", "2026-02-30", "0000-01-01", "26-1-2", [], {}, [1], {"a": None}]),
    texts,
)
nothing = st.none()
usual_decimals = (
    st.decimals(-(10**28), 10**28, places=9).map(str)
    | st.integers(-(10**28), 10**28)
    | st.floats(-9e27, 9e27).filter(lambda number: not 0 < abs(number) < 1e-99)
)
usual_cells: dict[str, st.SearchStrategy[Any]] = {
    "score": st.integers(-(2**63), 2**63 - 1) | nothing,
    "ratio": usual_numbers | nothing,
    "won": st.booleans() | nothing,
    "born": st.dates().map(str) | nothing,
    "seen": times(odd=False),
    "Näme": st.text() | nothing,
    "note": st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    "place": st.just("POINT(1 2)") | nothing,
    "price": usual_decimals | nothing,
    "tags": st.lists(st.text(), max_size=4),
    "scores": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    "ratios": st.lists(usual_numbers, max_size=4),
    "wins": st.lists(st.booleans(), max_size=12),
    "days": st.lists(st.dates().map(str), max_size=4),
    "visits": st.lists(times(odd=False).filter(bool), max_size=4),
    "prices": st.lists(usual_decimals, max_size=4),
}
hex_keys = st.text("0123456789abcdefABCDEF", min_size=2, max_size=32)
usual_rows = st.fixed_dictionaries(
    {"player_id": hex_keys}, optional={"time": times(odd=False), **usual_cells}
)
arrivals = st.sampled_from([ARRIVAL_MS, ARRIVAL_MS + DAY_MS, ARRIVAL_MS + 7])


@st.composite
def spelled(draw: st.DrawFn, rows: st.SearchStrategy[dict[str, Any]]) -> bytes:
    """On one line, members in any order."""
    members = list(draw(rows).items())
    if draw(st.booleans()):
        members = draw(st.permutations(members))
    separators = draw(st.sampled_from([(",", ":"), (" ,\t", " : ")]))
    try:
        text = json.dumps(dict(members), ensure_ascii=draw(st.booleans()), separators=separators)
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(dict(members)).encode()


usual = st.builds(record, spelled(usual_rows), arrivals)
odd_cells = {
    name: odd_values | cells | st.lists(odd_values | cells, max_size=3) for name, cells in usual_cells.items()
}
odd_rows = st.fixed_dictionaries(
    {},
    optional={
        "player_id": hex_keys | odd_values,
        "time": times(odd=True),
        **odd_cells,
        **dict.fromkeys(("Score", "NÄME", "näme", "WON", "other", "é", "K"), odd_values),
        "seen": times(odd=True),
    },
)
ODD_PAYLOADS = [
    *(b"", b"[1]", b"{}", b" { } ", b'{"player_id":"a"} x', b'{"player_id":"a","player_id":"b"}'),
    *(b'{"player_id":"a","score":1,"score":2}', b'{"player_id":"a","sc\\u006fre":1}'),
    *(b'{"player_id":"a","score":-0}', b'{"player_id":"a","score":9223372036854775808}'),
    *(b'{"player_id":"a","ratio":-0}', b'{"player_id":"a","ratio":-0.0}'),
    *(b'{"player_id":"a","price":-0}', b'{"player_id":"a","price":1e-999}'),
    *(b'{"player_id":"a","price":" 1_0.5 "}', b'{"player_id":"a","price":"NaN"}'),
    *(b'{"player_id":"a","prices":[1,-0.0,"1e2"]}', b'{"player_id":"a","prices":["\\u0031"]}'),
    *(b'{"player_id":"a","tags":["a"],"tags":[]}', b'{"player_id":"a","tags":[1,"a",true]}'),
    *(b'{"player_id":"a","tags":[null]}', b'{"player_id":"a","tags":["\\ud800"]}'),
    *(b'{"player_id":"a","scores":[1,]}', b'{"player_id":"a","scores":[ 1 ,\t2 ] , "tags":[ ]}'),
    *(b'{"player_id":"a","scores":[01]}', b'{"player_id":"a","scores":[1 2]}'),
    *(b'{"player_id":"a","scores":[1\n,2]}', b'{"player_id":"a","scores":[[1]]}'),
    *(b'{"player_id":"a","scores":[1', b'{"player_id":"a","scores":["7"]}'),
    *(b'{"player_id":["a"],"scores":[]}', b'{"player_id":"a","scores":{}}'),
    *(b'{"player_id":"a","ratio":1e400}', b'{"player_id":"a","ratio":-0e5}'),
    *(
        b'{"player_id":"a","ratio":123456789012345678901234567890}',
        b'{"player_id":"a","ratio":5e-324}',
    ),
    *(b'{"player_id":"a","ratio":9007199254740993}', b'{"player_id":"a","ratio":0.000000000000001}'),
    *(b'{"player_id":"a","note":"\\ud800"}', b'{"player_id":"a","note":[ 1 ,\t2 ] }'),
    *(b'{"player_id":"a","note":[1,\n2]}', b'{"player_id":"a","note":' + b"[" * 80),
    *(rb'{"player_id":"a","place":"\ud83d\ude00\u00e9\u20ac\u0041\b\f\n\r\t\"\\\/"}', b"\xff"),
    *(b'{"player_id":"a","place":"\xff"}', b'{"player_id":"\\u0061"}', b'{"player_id":7}'),
    b' {"player_id" : "a1" ,\t"time":null}\t',
]
odd_payloads = st.one_of(spelled(odd_rows), mutated(), st.sampled_from(ODD_PAYLOADS))
odd = st.builds(record, odd_payloads, arrivals | st.sampled_from([0, LAST_ARRIVAL_MS + 1, 999]))


@pytest.mark.parametrize("number", [0, -(2**63), 2**63 - 1, 10**18, -(10**18), 999_999_999_999_999_999])
def test_numbers_of_any_size_are_written_by_the_c_library(number: int) -> None:
    assert BothWays(field_rules(SIMPLE)).make([record({"player_id": "a", "score": number})])


@given(
    records=st.lists(usual, min_size=1, max_size=30),
    digits=st.integers(0, 2),
    metadata=st.booleans(),
    data=st.data(),
)
def test_usual_records_are_written_by_the_c_library(
    records: list[Record], digits: int, metadata: bool, data: st.DataObject
) -> None:
    both = BothWays(field_rules(SIMPLE, bigquery__key_digits=digits, bigquery__metadata_columns=metadata))
    chosen = data.draw(st.sets(st.sampled_from(range(len(records)))).map(sorted))
    assert both.make(records)
    assert both.make(records, chosen)


@given(
    records=st.lists(usual | odd, max_size=12),
    unknown=st.sampled_from(["reject", "ignore", "overflow"]),
    metadata=st.booleans(),
)
def test_odd_records_make_the_same_rows_and_rejections(
    records: list[Record], unknown: str, metadata: bool
) -> None:
    rules = field_rules(SIMPLE, bigquery__unknown_fields=unknown, bigquery__metadata_columns=metadata)
    BothWays(rules).make(records)


OWN_NAMES = st.sampled_from(
    [
        *(b'{"player_id":"a","_shard":"mine"}', b'{"_shard":1,"player_id":"a","_Sequence_Number":null}'),
        *(b'{"player_id":"a","\\u005fshard":"mine"}', b'{"player_id":"a","_arrived_at":"soon","score":1}'),
        *(b'{"player_id":"a","__shard":1}', b'{"player_id":"a","note":{"_shard":1}}'),
    ]
)


@given(
    payloads=st.lists(odd_payloads | OWN_NAMES, max_size=6),
    positions=st.lists(st.tuples(st.integers(0, 10**56), st.integers(0, 2**40)), min_size=6, max_size=6),
    row=st.sampled_from(["log", "fields"]),
    unknown=st.sampled_from(["reject", "ignore"]),
    data=st.data(),
)
def test_metadata_columns_tell_where_each_row_comes_from(
    payloads: list[bytes],
    positions: list[tuple[int, int]],
    row: str,
    unknown: str,
    data: st.DataObject,
) -> None:
    rules = field_rules(
        SIMPLE, bigquery__row=row, bigquery__unknown_fields=unknown, bigquery__metadata_columns=True
    )
    records = [
        Record(payload, "key", str(sequence), sub, data.draw(arrivals))
        for payload, (sequence, sub) in zip(payloads, positions, strict=False)
    ]
    assert BothWays(rules).make(records)


@pytest.mark.parametrize("row", ["log", "fields"])
@pytest.mark.parametrize("below", [0, 1, 150, 300, 2_500])
def test_a_row_with_metadata_that_is_nearly_too_large_is_judged_alike(row: str, below: int) -> None:
    """A key, and what stands around it, are in a row of `log` beside the record."""
    rules = field_rules(SIMPLE, bigquery__row=row, bigquery__metadata_columns=True)
    both = BothWays(rules)
    head = b'{"player_id":"a","time":"2026-01-02T03:04:05Z","place":"'
    filler = b"x" * (MAX_ROW_BYTES - ROW_OVERHEAD_BYTES - below - len(head) - len(b'"}'))
    records = [record(b'%b%b"}' % (head, filler)), record({"player_id": "a"})]
    both.make(records)
    # what it would be as JSON decides
    _, rejections = TypedRows(rules, shard=SHARD).make(records, range(2))
    assert both.other.make(records, range(2))[1] == rejections


def test_a_large_key_counts_twice_in_a_row_of_log_with_metadata() -> None:
    rules = field_rules((), bigquery__row="log", bigquery__key_digits=0, bigquery__metadata_columns=True)
    for size in (4_000_000, 4_740_000, 4_760_000):
        BothWays(rules).make([record(b'{"player_id":"%b"}' % (b"x" * size))])


@given(payload=odd_payloads, unknown=st.sampled_from(["reject", "ignore", "overflow"]))
@example(b'{"player_id":"a","overflow":7}', "overflow")
@example(b'{"player_id":"a","x":1,"Overflow":{"x":[2,\n3]},"y":"\\u0000"}', "overflow")
@example(b'{"player_id":"a","ratio":"Infinity"}', "reject")
def test_each_odd_record_alone(payload: bytes, unknown: str) -> None:
    BothWays(field_rules(SIMPLE, bigquery__unknown_fields=unknown, bigquery__key_digits=0)).make(
        [record(payload)]
    )


@pytest.mark.parametrize("unknown", ["reject", "ignore", "overflow"])
def test_each_payload_that_is_known_to_be_odd(unknown: str) -> None:
    both = BothWays(field_rules(SIMPLE, bigquery__unknown_fields=unknown, bigquery__key_digits=0))
    for payload in ODD_PAYLOADS:
        both.make([record(payload)])


@pytest.mark.parametrize("number", ["01", "-01", "00", "-", "1.", "1e", "1 2", "1a", "+1", ".5", "0x1", ""])
@pytest.mark.parametrize("column", ["score", "ratio", "unknown"])
def test_what_is_no_number_is_no_row(number: str, column: str) -> None:
    both = BothWays(field_rules(SIMPLE, bigquery__unknown_fields="ignore"))
    bad = record(f'{{"player_id":"a","{column}":{number}}}'.encode())
    assert both.make([bad, record({"player_id": "a"})])
    _, [rejection] = both.own.make(Records.of([bad]), [0])
    assert rejection.reason == "not_json"


@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70), data=st.data())
def test_numbers_are_the_same_to_the_last_bit(number: float, data: st.DataObject) -> None:
    text = data.draw(
        st.just(json.dumps(number))
        | st.integers(0, 25).map(lambda digits: f"{number:.{digits}f}")
        | st.integers(0, 25).map(lambda digits: f"{number:.{digits}e}")
    )
    BothWays(field_rules(SIMPLE)).make([record(f'{{"player_id":"a","ratio":{text}}}'.encode())])


decimal_texts = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.sampled_from(["0", "1", "9" * 28, "9" * 29, "1" + "0" * 29, "00"])
    | st.from_regex("[0-9]{1,12}", fullmatch=True),
    st.sampled_from(["", ".", ".5", ".0000000004", ".0000000005", ".99999999949", ".9999999995"])
    | st.from_regex(r"\.[0-9]{1,12}", fullmatch=True),
    st.sampled_from(["", "", "e0", "E+2", "e-2", "e-10", "e29", "e-99", "e-100", "e1_0", "e"]),
)


@given(text=decimal_texts, quote=st.sampled_from(["", '"']))
@example("9" * 29 + ".9999999995", "")
@example(".5", '"')
@example("-", '"')
@example(".", '"')
@example("1.2.3", '"')
def test_decimals_are_rounded_alike(text: str, quote: str) -> None:
    value = f"{quote}{text}{quote}"
    one = record(f'{{"player_id":"a","price":{value},"prices":[{value},{value}]}}'.encode())
    assert BothWays(field_rules(SIMPLE)).make([one, record({"player_id": "a"})])


usual_prices_and_arrays = st.fixed_dictionaries(
    {"player_id": hex_keys},
    optional={column.name: usual_cells[column.name] for column in SIMPLE if column.name in usual_cells},
)


@given(rows=st.lists(usual_prices_and_arrays, min_size=1, max_size=5))
def test_usual_decimals_and_arrays_take_no_python(rows: list[dict[str, Any]]) -> None:
    maker = FieldsRows.of(field_rules(SIMPLE), shard=SHARD)
    assert maker is not None
    records = Records.of([record(json.dumps(row, ensure_ascii=False).encode()) for row in rows])
    assert maker._finder.find(records, range(len(rows))).unsure == []


def values_of(count: int, more: bytes = b"") -> Record:
    return record(b'{"player_id":"a","scores":[%b]%b}' % (b",".join([b"7"] * count), more))


@pytest.mark.parametrize(
    ("one", "is_row"),
    [
        (values_of(99_999), True),
        (values_of(100_000), False),
        (values_of(99_997, b',"tags":[]'), True),
        (values_of(99_998, b',"tags":[]'), False),
        (values_of(1, b',"tags":null'), False),
        (values_of(99_997, b',"tags":["a,b"]'), True),
        (values_of(99_997, b',"wins":[false,true]'), False),
    ],
)
def test_a_row_has_as_many_values_as_python_counts(one: Record, is_row: bool) -> None:
    both = BothWays(field_rules(SIMPLE))
    assert both.make([one, record({"player_id": "a"})])
    maker = FieldsRows.of(field_rules(SIMPLE), shard=SHARD)
    assert maker is not None
    assert (maker._finder.find(Records.of([one]), [0]).unsure == []) == is_row


@pytest.mark.parametrize(
    ("column", "value", "value_bytes"),
    [("scores", b"7", 8), ("prices", b"7", 16), ("tags", b'""', 4), ("days", b'"2026-01-02"', 4)],
)
@pytest.mark.parametrize("more", [b"", b',"score":"7"'], ids=["as it is", "written anew"])
@pytest.mark.parametrize("make", ["own", "other"])
def test_a_request_stays_small_where_values_are_more_than_their_text(
    column: str, value: bytes, value_bytes: int, more: bytes, make: str
) -> None:
    maker: RowMaker = getattr(BothWays(field_rules(SIMPLE)), make)
    payload = b'{"player_id":"a","%b":[%b]%b}' % (column.encode(), b",".join([value] * 5_000), more)
    tables, _ = maker.make(Records.of([record(payload)] * 20), range(20))
    [rows] = tables.values()
    most = 200_000
    head = maker.batch(rows.part(0, 1)).size - 5_000 * value_bytes
    parts = list(rows.parts(most))
    assert sum(len(part.indices) for part in parts) == 20
    for part in parts:
        assert maker.batch(part).size <= most + head


def test_what_has_no_column_takes_the_overflow_column_and_no_neighbour() -> None:
    rules = field_rules(SIMPLE, bigquery__unknown_fields="overflow")
    both = BothWays(rules)
    known = record({"player_id": "a", "score": 1, "tags": ["x"]})
    others = [
        *(b'"x":1', b'"x" :\t[1, 2] ,"y":null', b'"y":"\\u0000\\"","player_id2":-0.0,"x":{}', b'"":1'),
        *(b'"x":1,"x":2', b'"x":1,"score":2,"y":3', b'"score":"7","x":1', b'"\\u0078":1', '"é":1'.encode()),
        *(b'"overflow":{"y":2}', b'"OVERFLOW":[1]', b'"x":1,"overflow":1,"overflow":2', b'"overflow":null'),
        *(b",".join(b'"x%d":1' % number for number in range(count)) for count in (31, 32, 33)),
    ]
    assert both.make([known, *(record(b'{%b,"player_id":"b"}' % other) for other in others), known])


@pytest.mark.parametrize("spare", range(-2, 20))
def test_a_row_is_as_large_as_its_overflow_column_makes_it(spare: int) -> None:
    both = BothWays(field_rules(SIMPLE, bigquery__unknown_fields="overflow"))
    head, end = b'{"player_id":"a","time":"2026-01-02T03:04:05Z","x":"', b'"}'
    payload = head + b"x" * (MAX_ROW_BYTES - ROW_OVERHEAD_BYTES - len(head) - len(end) - spare) + end
    assert both.make([record(payload), record({"player_id": "a"})])


def test_what_is_written_anew_is_written_by_the_c_library() -> None:
    odd_ones: list[dict[str, Any]] = [
        {"time": "2026-01-02T03:04:05+01:00"},
        {"seen": "2026-01-02 03:04:05.123456 UTC"},
        {"score": "12"},
        {"ratio": "0.30000000000000004"},
        {"Score": 1, "WON": True},
        {"Näme": 12.5},
        {"born": None, "seen": 1767322000},
        {"price": " 1_000.5 ", "prices": ["+0.0000000005", 1e-10, "5"]},
        {
            "tags": [1, "a"],
            "SCORES": ["7", 8.0],
            "ratios": ["nan", "-inf"],
            "wins": ["true"],
            "visits": [1767322000],
        },
        {},
    ]
    made = [record({"player_id": "a", **one}) for one in odd_ones]
    usual_one = record({"player_id": "b1", "score": 7})
    assert BothWays(field_rules(SIMPLE)).make([usual_one, *made, usual_one])


@pytest.mark.parametrize(
    "members",
    [
        b'"ratio":"Infinity"',
        b'"ratio":"-inf"',
        b'"ratio":"nan"',
        b'"ratio":1e100',
        b'"note":' + b"[" * 400 + b"]" * 400,
        b'"note":{"a":[1,\n2],\r"b":1e300}',
        b'"note":' + b"9" * 300,
        b'"n\\u006fte":[\n]',
    ],
)
def test_what_the_c_library_is_not_sure_of_takes_no_other_row_along(members: bytes) -> None:
    both = BothWays(field_rules(SIMPLE))
    odd_one = record(b'{"player_id":"a",%b}' % members)
    assert both.make([record({"player_id": "a"}), odd_one, record({"player_id": "a", "score": 1})])


@given(records=st.lists(usual | odd, min_size=1, max_size=30), data=st.data())
def test_parts_and_rests_hold_the_same_rows(records: list[Record], data: st.DataObject) -> None:
    metadata, row = data.draw(st.booleans()), data.draw(st.sampled_from(["log", "fields"]))
    if row == "log" and not metadata:
        row = "fields"
    rules = field_rules(
        SIMPLE, bigquery__row=row, bigquery__key_digits=0, bigquery__metadata_columns=metadata
    )
    both = BothWays(rules)
    records = [*records, record({"player_id": "a"})]
    ((mine,), (theirs,)) = (
        maker.make(some, range(len(records)))[0].values()
        for maker, some in ((both.own, Records.of(records)), (both.other, records))
    )
    places = st.integers(0, len(mine.indices))
    start, stop = sorted([data.draw(places), data.draw(places)])
    if start < stop:
        both.assert_same(mine.part(start, stop), theirs.part(start, stop))
    bad = data.draw(st.sets(st.sampled_from(range(len(mine.indices)))))
    if len(bad) < len(mine.indices):
        both.assert_same(mine.without(bad), theirs.without(bad))


@examples(15)  # of a thousand records each
@given(first=usual, seed=st.integers(0, 2**32).map(Random))
def test_chunks_of_several_parts(first: Record, seed: Random) -> None:
    records = [first] + [
        record(
            {"player_id": f"{seed.randrange(256):02x}", "score": seed.choice([number, str(number)])},
            ARRIVAL_MS + seed.choice([0, DAY_MS]),
        )
        for number in range(2 * PART_RECORDS + 1)
    ]
    both = BothWays(field_rules(SIMPLE))
    assert both.make(records)
    assert both.make(records, sorted(seed.sample(range(len(records)), seed.randrange(len(records)))))


@pytest.mark.parametrize("spare", [1, 0, -1])
def test_the_largest_row(spare: int) -> None:
    head, end = b'{"player_id":"a","place":"', b'"}'
    payload = head + b"x" * (MAX_ROW_BYTES - ROW_OVERHEAD_BYTES - len(head) - len(end) - spare) + end
    assert BothWays(field_rules(SIMPLE)).make([record(payload), record({"player_id": "a"})])


def test_a_required_column_wants_a_value() -> None:
    schema = (*SIMPLE[:2], Column("score", "INTEGER", "REQUIRED"))
    both = BothWays(field_rules(schema))
    assert both.make([record({"player_id": "a", "score": score}) for score in (1, None)])
    assert both.make([record({"player_id": "a"}), record({"player_id": "a", "score": 2})])


@pytest.mark.parametrize(
    ("changes", "schema"),
    [
        ({"record__time_format": "epoch_ms"}, SIMPLE),
        ({"record__time_field": "seen"}, SIMPLE),
        ({}, (*SIMPLE, Column("x", "BIGNUMERIC"))),
        ({}, (*SIMPLE, Column("x", "BYTES", "REPEATED"))),
        ({}, (*SIMPLE, Column("x", "JSON", "REPEATED"))),
        ({}, (SIMPLE[0], Column("time", "TIMESTAMP", "REPEATED"))),
        ({}, (*SIMPLE, Column("x", "RECORD", fields=(Column("y", "STRING"),)))),
        ({}, (SIMPLE[0], Column("time", "DATE"))),
        ({}, (*SIMPLE, *(Column(f"c{number}", "STRING") for number in range(512)))),
    ],
)
def test_what_the_c_library_cannot_write(changes: dict[str, Value], schema: Sequence[Column]) -> None:
    assert FieldsRows.of(field_rules(schema, **changes), shard=SHARD) is None


@pytest.mark.parametrize("digits", [0, 1, 2])
def test_as_many_columns_as_there_may_be(digits: int) -> None:
    names = [f"c{number}" for number in range(510)]
    schema = (*SIMPLE[:2], *(Column(name, ("INTEGER", "STRING")[len(name) % 2]) for name in names))
    both = BothWays(field_rules(schema, bigquery__key_digits=digits))
    values = {name: (len(name), name)[len(name) % 2] for name in names}
    assert both.make([record({"player_id": key, **values}) for key in ("a0", "a1", "b0", "a0")])


MANY_COLUMNS = (*SIMPLE[:2], *(Column(f"c{number}", "INTEGER") for number in range(500)))


@pytest.mark.parametrize("payload", [{"player_id": "a"}, {"player_id": "a", "C1": "7"}])
@pytest.mark.parametrize("make", ["own", "other"])
def test_a_request_stays_small_where_the_columns_are_more_than_the_record(
    payload: dict[str, str], make: str
) -> None:
    both = BothWays(field_rules(MANY_COLUMNS))
    maker: RowMaker = getattr(both, make)
    tables, _ = maker.make(Records.of([record(payload)] * 300), range(300))
    most = 200_000
    parts = list(tables["player_log_a"].parts(most))
    assert sum(len(part.indices) for part in parts) == 300
    head = maker.batch(parts[0].part(0, 1)).size
    for part in parts:
        assert maker.batch(part).size <= most + head


def test_a_record_that_is_written_anew_names_no_column_that_it_has_not() -> None:
    maker = FieldsRows.of(field_rules((*MANY_COLUMNS, Column("note", "JSON"))), shard=SHARD)
    assert maker is not None
    row = b'{"player_id":"a","time":"2026-01-02T03:04:05Z","C1":"7","note":null}'
    assert maker._written_anew(row) == b'{"player_id":"a","time":"2026-01-02T03:04:05Z","c1":7}\n'


@pytest.mark.parametrize("digits", [0, 1])
def test_a_key_may_be_an_array(digits: int) -> None:
    schema = (Column("player_id", "STRING", "REPEATED"), SIMPLE[1])
    both = BothWays(field_rules(schema, bigquery__key_digits=digits))
    keys: list[Any] = [["a"], [], None, "a", ["a", 1], [None]]
    assert both.make([record({"player_id": key}) for key in keys])


def test_a_table_may_have_the_column_of_the_time_alone() -> None:
    both = BothWays(field_rules([SIMPLE[1]], bigquery__key_digits=0, bigquery__unknown_fields="ignore"))
    assert both.make([record({}), record({"x": 1}), record({"TIME": "2026-01-02T03:04:05Z"})])


def test_records_that_make_no_row_are_left_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Undeletable(array):  # type: ignore[type-arg]
        def __delitem__(self, key: Any) -> None:
            raise AssertionError("moves whatever stands behind")

    monkeypatch.setattr(row_finder, "array", Undeletable)
    both = BothWays(field_rules(SIMPLE))
    assert both.make([record({"player_id": key}) for key in ("a", "", "b", "no", "", "a")])


def test_usual_rows_take_no_pyarrow() -> None:
    code = (
        "import sys\n"
        "from consumer.domain.columns import Records\n"
        "from consumer.domain.records import Record\n"
        "from consumer.settings.schema import Column\n"
        "from consumer.sinks.bigquery.arrow_rows.build import row_maker\n"
        "from consumer.sinks.bigquery.arrow_rows.rules import Rules\n"
        f"settings = {dict(field_rules(SIMPLE).settings)!r}\n"
        "schema = (Column('player_id', 'STRING'), Column('time', 'TIMESTAMP'))\n"
        "own = row_maker(Rules(3, settings, schema), shard='shardId-7')\n"
        f"records = Records.of([Record(b'{{\"player_id\":\"a\"}}', 'k', '1', 0, {ARRIVAL_MS})])\n"
        "tables, _ = own.make(records, [0])\n"
        "[rows] = tables.values()\n"
        "assert own.batch(rows).serialize_after(b'')\n"
        "assert 'pyarrow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
