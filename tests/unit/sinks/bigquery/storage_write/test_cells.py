"""What fits a column of each type, as which value, and that neighbours have no say in it."""

import contextlib
import datetime
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.settings.schema import Column, parse_schema
from consumer.sinks.bigquery.arrow_rows.cells import ArrowWriter
from consumer.sinks.bigquery.arrow_rows.reader import BadCells, RowReader

UTC = datetime.UTC
NOON = datetime.datetime(2026, 1, 2, 12, 30, 15, tzinfo=UTC)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


def cells(columns: tuple[Column, ...], *rows: bytes, refuse_unknown: bool = True) -> list[dict[str, Any]]:
    reader = RowReader(columns, refuse_unknown=refuse_unknown)
    batch = ArrowWriter(columns).batch([reader.read(row) for row in rows])
    found: list[dict[str, Any]] = batch.to_pylist()
    return found


def cell(kind: str, text: str) -> Any:
    [row] = cells((Column("x", kind),), f'{{"x":{text}}}'.encode())
    return row["x"]


TAKEN = [
    ("STRING", '"Zoë"', "Zoë"),
    ("STRING", "12.50", "12.50"),
    ("STRING", "true", "true"),
    ("GEOGRAPHY", '"POINT(1 2)"', "POINT(1 2)"),
    ("INTEGER", "-9223372036854775808", -(2**63)),
    ("INTEGER", '"12"', 12),
    ("INTEGER", "12.0", 12),
    ("FLOAT", "1", 1.0),
    ("FLOAT", '"-Infinity"', float("-inf")),
    ("FLOAT", '"1e3"', 1000.0),
    ("BOOLEAN", "true", True),
    ("BOOLEAN", '"false"', False),
    ("BYTES", '"AAEC"', b"\x00\x01\x02"),
    ("TIMESTAMP", '"2026-01-02T12:30:15Z"', NOON),
    ("TIMESTAMP", '"2026-01-02 13:30:15+01:00"', NOON),
    ("TIMESTAMP", '"2026-01-02 12:30:15 UTC"', NOON),
    ("TIMESTAMP", '"2026-01-02T12:30:15"', NOON),
    ("TIMESTAMP", "1767357015", NOON),
    ("DATE", '"2026-01-02"', NOON.date()),
    ("TIME", '"12:30:15"', NOON.time()),
    ("DATETIME", '"2026-01-02T12:30:15"', NOON.replace(tzinfo=None)),
    ("DATETIME", '"2026-01-02 12:30:15.000000"', NOON.replace(tzinfo=None)),
    ("DATETIME", '"2026-01-02"', NOON.replace(tzinfo=None, hour=0, minute=0, second=0)),
    ("TIMESTAMP", '"2026-01-02t12:30:15.000z"', NOON),
    ("TIMESTAMP", '"2026-01-02 12:30:15.000000 UTC"', NOON),
    ("TIMESTAMP", '"2026-01-02 13:30:15+01"', NOON),
    ("TIMESTAMP", '"1767357015.0"', NOON),
    ("TIMESTAMP", "1767357015.0", NOON),
    ("TIMESTAMP", "0.9999999", EPOCH.replace(microsecond=999_999)),
    ("TIMESTAMP", '"1970-01-01"', EPOCH),
    ("NUMERIC", "1.618033989", Decimal("1.618033989")),
    ("NUMERIC", '"0.1234567895"', Decimal("0.123456790")),
    (
        "BIGNUMERIC",
        "12345678901234567890.000000000000000001",
        Decimal("12345678901234567890.000000000000000001"),
    ),
    ("JSON", '{"a": [1, null]}', '{"a": [1, null]}'),
    ("JSON", '"text"', '"text"'),
]


KINDS = sorted({kind for kind, _, _ in TAKEN})


@pytest.mark.parametrize(("kind", "text", "value"), TAKEN)
def test_values_that_a_column_takes(kind: str, text: str, value: object) -> None:
    found = cell(kind, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("STRING", '["a"]'),
        ("STRING", '"\\ud800"'),
        ("INTEGER", "9223372036854775808"),
        ("INTEGER", "1.5"),
        ("INTEGER", '"many"'),
        ("INTEGER", "true"),
        ("FLOAT", '"far"'),
        ("BOOLEAN", '"maybe"'),
        ("BYTES", '"%%"'),
        ("TIMESTAMP", '"soon"'),
        ("TIMESTAMP", "253402300800"),  # the first second of the year 10000
        ("TIMESTAMP", '"0001-01-01T00:00:00+05:00"'),
        ("TIMESTAMP", '"2026-11-20T23:59:59.999999999Z"'),
        ("TIMESTAMP", '"2026-11-20T23:59:59.9999999Z"'),
        ("TIMESTAMP", '"2026-11-20T23:59:59,999Z"'),
        ("TIMESTAMP", '"2026-11-20x10:11:12Z"'),
        ("TIMESTAMP", '"20261120T101112Z"'),
        ("TIMESTAMP", '"20261120101112"'),
        ("TIMESTAMP", '"2026-W47-5"'),
        ("TIMESTAMP", '"2026-11-20T10:11"'),
        ("TIMESTAMP", '"2026-11-20T24:00:00Z"'),
        ("TIMESTAMP", '"2026-11-20T10:11:60Z"'),
        ("TIMESTAMP", '"2026-11-20T10:11:12+15:00"'),
        ("TIMESTAMP", '"2026-11-20T10:11:12 +02:00"'),
        ("TIMESTAMP", '" 2026-11-20"'),
        ("TIMESTAMP", '"\uff12026-11-20"'),
        ("TIMESTAMP", '"1e9"'),
        ("TIMESTAMP", '"null"'),
        ("TIMESTAMP", "true"),
        ("TIMESTAMP", "[]"),
        ("DATE", '"2026-02-30"'),
        ("TIME", '"12:30:15Z"'),
        ("TIME", '"23:59:59.9999999"'),
        ("TIME", '"24:00:00"'),
        ("TIME", '"12:30"'),
        ("TIME", "1"),
        ("DATETIME", '"2026-01-02 12:30"'),
        ("DATETIME", '"2026-11-20T23:59:59.9999999"'),
        ("DATETIME", "1767357015"),
        ("DATETIME", '"2026-01-02T12:30:15Z"'),
        ("NUMERIC", '"NaN"'),
        ("NUMERIC", "1e30"),
        ("BIGNUMERIC", "1e40"),
        ("GEOGRAPHY", "1"),
    ],
)
def test_values_that_a_column_does_not_take(kind: str, text: str) -> None:
    with pytest.raises(BadCells):
        cell(kind, text)


@pytest.mark.parametrize("kind", KINDS)
def test_null_and_a_missing_field_are_null(kind: str) -> None:
    assert cells((Column("x", kind),), b'{"x":null}', b"{}") == [{"x": None}, {"x": None}]


@pytest.mark.parametrize("row", [b"{}", b'{"x":null}'])
def test_a_required_column_wants_a_value(row: bytes) -> None:
    with pytest.raises(BadCells):
        cells((Column("x", "STRING", "REQUIRED"),), row)


NESTED = parse_schema(
    json.dumps(
        [
            {"name": "n", "type": "INTEGER"},
            {
                "name": "r",
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": [
                    {"name": "d", "type": "NUMERIC"},
                    {"name": "j", "type": "JSON", "mode": "REPEATED"},
                    {"name": "s", "type": "RECORD", "fields": [{"name": "t", "type": "TIMESTAMP"}]},
                ],
            },
        ]
    ).encode()
)


def test_records_in_records_and_names_in_other_letters() -> None:
    row = b'{"N":"7","r":[{"D":1.5,"j":[{"a":1},"b"],"S":{"T":"2026-01-02 12:30:15 UTC"}},{"s":null}]}'
    assert cells(NESTED, row) == [
        {
            "n": 7,
            "r": [
                {"d": Decimal("1.5"), "j": ['{"a":1}', '"b"'], "s": {"t": NOON}},
                {"d": None, "j": [], "s": None},
            ],
        }
    ]


@pytest.mark.parametrize("kind", [*KINDS, "RECORD"])
def test_a_repeated_column_may_be_missing_and_is_never_null(kind: str) -> None:
    column = Column("x", kind, "REPEATED", fields=(Column("y", "INTEGER"),) if kind == "RECORD" else ())
    assert cells((column,), b"{}", b'{"x":[]}') == [{"x": []}, {"x": []}]
    for row in (b'{"x":null}', b'{"X":null}'):
        with pytest.raises(BadCells):
            cells((column,), row)


def test_times_in_repeated_and_nested_columns_are_read_alike() -> None:
    seen = Column("seen", "TIMESTAMP", "REPEATED")
    columns = (seen, Column("r", "RECORD", fields=(Column("t", "TIME"), seen)))
    assert cells(columns, b'{"seen":["2026-01-02 12:30:15 UTC",0],"r":{"t":"12:30:15.5","seen":[1.5]}}') == [
        {
            "seen": [NOON, EPOCH],
            "r": {"t": datetime.time(12, 30, 15, 500_000), "seen": [EPOCH + datetime.timedelta(seconds=1.5)]},
        }
    ]
    for row in (
        b'{"seen":["2026-01-02T12:30:15Z","2026-01-02T23:59:59.9999999Z"]}',
        b'{"r":{"t":"23:59:59.9999999"}}',
        b'{"R":{"SEEN":["2026-01-02T23:59:59.9999999Z"]}}',
    ):
        with pytest.raises(BadCells):
            cells(columns, row)


@pytest.mark.parametrize("row", [b'{"n":1,"z":2}', b'{"n":1,"r":[{"z":2}]}', b'{"N":1,"r":[{"S":{"z":2}}]}'])
def test_a_field_without_a_column_is_refused_or_left_out(row: bytes) -> None:
    with pytest.raises(BadCells, match="z"):
        cells(NESTED, row)
    [left] = cells(NESTED, row, refuse_unknown=False)
    assert left["n"] == 1
    assert "z" not in json.dumps(left)


_json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["2026-01-02T12:30:15Z", "2026-01-02", "12:30:15", "1e3", "AAEC", "nan", "0x1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xXyz"), inner, max_size=2),
    max_leaves=4,
)
_COLUMNS = (
    *(Column(f"c{number}", kind) for number, kind in enumerate(KINDS)),
    Column("rep", "INTEGER", "REPEATED"),
    Column("rec", "RECORD", fields=(Column("x", "FLOAT"), Column("y", "NUMERIC", "REPEATED"))),
)
_rows = st.dictionaries(
    st.sampled_from([*(column.name for column in _COLUMNS), "C1", "unknown"]), _json_values, max_size=3
)


@given(st.lists(_rows, min_size=1, max_size=6), st.booleans())
def test_what_becomes_of_a_row_does_not_depend_on_its_neighbours(
    rows: list[dict[str, Any]], refuse_unknown: bool
) -> None:
    alone: list[dict[str, Any] | None] = []
    for row in rows:
        try:
            alone += cells(_COLUMNS, json.dumps(row).encode(), refuse_unknown=refuse_unknown)
        except BadCells:
            alone.append(None)
    good = [json.dumps(row).encode() for row, found in zip(rows, alone, strict=True) if found is not None]
    together = cells(_COLUMNS, *good, refuse_unknown=refuse_unknown)
    assert repr(together) == repr([found for found in alone if found is not None])


_UGLY = (
    *("1e999999999999999999999", "1e400", "1e-999999999", "1e18", "253402300800", "-62135596801", "9" * 5000),
    *(
        '"NaN"',
        '"sNaN"',
        '"Infinity"',
        '"24:00:00"',
        '"9999-12-31T23:59:59-23:59"',
        '"0001-01-01T00:00:00+23:59"',
    ),
    *(
        '""',
        '"  "',
        '"=AAA"',
        '"\\u0000"',
        '"\\ud800"',
        "{}",
        "[null]",
        "[" * 900 + "]" * 900,
        '"' + "9" * 5000 + '"',
    ),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["NULLABLE", "REQUIRED", "REPEATED"])
def test_no_value_is_another_exception(kind: str, mode: Any) -> None:
    """Anything else would end the shard process at this record, again and again."""
    columns = (Column("x", kind, mode), Column("r", "RECORD", fields=(Column("x", kind, mode),)))
    for text in (*_UGLY, *(f"[{text}]" for text in _UGLY)):
        for row in (f'{{"x":{text}}}', f'{{"X":{text}}}', f'{{"R":{{"x":{text}}}}}'):
            with contextlib.suppress(BadCells):
                cells(columns, row.encode())
