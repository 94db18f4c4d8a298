"""How long it takes to read a row: msgspec looks for a member's name among all columns, from the last one found on."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows import reader as row_reader
from consumer.sinks.bigquery.arrow_rows.reader import BadCells, RowReader

FIELDS = tuple(Column(f"f{number}", "INTEGER") for number in range(5))
COLUMNS = (
    Column("a", "STRING"),
    Column("b", "INTEGER"),
    Column("c", "TIMESTAMP"),
    Column("one", "RECORD", fields=FIELDS),
    Column("many", "RECORD", "REPEATED", fields=FIELDS),
    Column("d", "JSON"),
    Column("e", "INTEGER", "REPEATED"),
)
MANY_COLUMNS = tuple(Column(f"c{number:03}", "INTEGER") for number in range(500))
MANY_FIELDS = (Column("x", "RECORD", "REPEATED", fields=MANY_COLUMNS),)


def looks(value: Any, columns: Sequence[Column]) -> int:
    """How many names the decoder compares with those of the members; objects are lists of pairs."""
    if not isinstance(value, tuple):
        return sum(looks(item, columns) for item in value) if isinstance(value, list) else 0
    names = {column.name: number for number, column in enumerate(columns)}
    begin = total = 0
    for name, inner in value:
        number = names.get(name)
        if number is None:
            return total + len(columns)  # it refuses the row
        total += (number - begin) % len(columns) + 1
        begin = number + 1
        total += looks(inner, columns[number].fields)
    return total


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (MANY_COLUMNS, b"{" + b",".join([b'"c499":0'] * 5000) + b"}"),
        (MANY_COLUMNS, b"{" + b",".join(b'"c%03d":0' % (-number % 500) for number in range(5000)) + b"}"),
        (
            MANY_FIELDS,
            b'{"x":['
            + b",".join([b"{" + b",".join(b'"c%03d":0' % (499 - number) for number in range(50)) + b"}"] * 50)
            + b"]}",
        ),
    ],
    ids=["one name", "backwards", "backwards in each of many"],
)
def test_no_order_of_members_takes_many_looks_for_each_byte(columns: tuple[Column, ...], row: bytes) -> None:
    reader = RowReader(columns, refuse_unknown=False)
    decode, found = reader._decode_exact, []

    def counted(text: bytes) -> Any:
        found.append(looks(json.loads(bytes(text), object_pairs_hook=tuple), columns))
        return decode(text)

    reader._decode_exact = counted
    reader.read(row)
    assert len(found) == 1
    assert found[0] <= 16 * (len(row) + 500)


names = st.sampled_from(["a", "A", "b", "B", "c", "one", "ONE", "many", "d", "e", "zz", "f0", "F1", "f2"])
values = st.recursive(
    st.none()
    | st.integers(-9, 9)
    | st.sampled_from(["7", "x", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05.123"]),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(names, inner), max_size=4).map(tuple),
    max_leaves=8,
)


def text_of(value: Any) -> str:
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(name)}:{text_of(inner)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


def plain(value: Any) -> Any:
    """Whichever decoder has made it."""
    if isinstance(value, msgspec.Struct):
        return [plain(cell) for cell in msgspec.structs.astuple(value)]
    if isinstance(value, list):
        return [plain(item) for item in value]
    return bytes(value) if isinstance(value, msgspec.Raw) else value


@given(row=st.lists(st.tuples(names, values), max_size=8).map(tuple), refuse=st.booleans())
@example(row=(("a", []), ("a", None)), refuse=False)
@example(row=(("many", [[[[]]]]), ("one", [])), refuse=False)
def test_members_in_order_say_the_same(row: Any, refuse: bool) -> None:
    reader = RowReader(COLUMNS, refuse_unknown=refuse)

    def read() -> Any:
        try:
            return plain(reader.read(text_of(row).encode()))
        except BadCells:
            return None

    as_it_is = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_reader, "_MOST_LOOKS", 0)
        assert read() == as_it_is
