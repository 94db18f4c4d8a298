"""Rows of insertAll: those that the C library writes are those that Python makes, and the others are left to it."""

import ctypes
import datetime
import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.domain.columns import PART_RECORDS, Columns, Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.domain.routing import table_names
from consumer.native import library
from consumer.sinks.bigquery.insert_all.requests import LEAST_BILLED_BYTES
from consumer.sinks.bigquery.rows.encoder import insert_id_prefix
from consumer.sinks.bigquery.rows.times import NEWEST_DAYS, OLDEST_DAYS
from tests.unit.builders import ARRIVAL_MS, record
from tests.unit.native.mutations import mutated
from tests.unit.sinks.bigquery.builders import SHARD, encoder, fields_row, log_row
from tests.unit.sinks.json_bytes import scalars, spelled, texts, values

_encode = msgspec.json.Encoder().encode

DAY_MS = 86_400_000
LAST_ARRIVAL_MS = 7_258_118_399_999
"""Of the year 2199: later ones are Python's."""

EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
HEAD = b'{"rows":['
ID_HEAD = f'{{"insertId":"{insert_id_prefix(stream="stream", shard=SHARD)}-'.encode()


# The caller's part, as simple as it can be


@dataclass
class Body:
    """A finished one: rows in brackets' place, and which records they were made of."""

    table: str
    text: bytes
    indices: list[int]
    billed_bytes: int


@dataclass
class Written:
    bodies: list[Body]
    unsure: list[int]
    results: set[int] = field(default_factory=set)
    """Everything that write_rows answered."""


def span(text: bytes, kept: list[Any]) -> library.Span:
    buffer = ctypes.create_string_buffer(text, len(text) or 1)
    kept.append(buffer)
    return library.Span(ctypes.addressof(buffer), len(text))


def rules_for(
    kept: list[Any], *, whole: bool, key_digits: int, max_rows: int = 500, max_bytes: int = 10**7
) -> library.RowRules:
    """For key field `k`, time field `t`, no day yet."""
    between = (
        (b'","json":', b"", b"", b"}") if whole else (b'","json":{"k":', b',"t":"', b'","log":"', b'"}}')
    )
    middle, time_head, log_head, tail = between
    return library.RowRules(
        *(span(text, kept) for text in (b"k", b"t", ID_HEAD, middle, time_head, log_head, tail)),
        key_digits,
        whole,
        max_rows,
        max_bytes,
        LEAST_BILLED_BYTES,
        0 if whole else 10,
        -1,
    )


def day(time_ms: int, days: int) -> bytes:
    moment = EPOCH + datetime.timedelta(days=time_ms // DAY_MS + days)
    return moment.date().isoformat().encode()


class Writer:
    """Calls write_rows until it is done, with memory that ends where the structures say."""

    def __init__(self, native: Any, *, whole: bool = False, key_digits: int = 1, **limits: int) -> None:
        self._write_rows = native.write_rows
        self._kept: list[Any] = []
        self._rules = rules_for(self._kept, whole=whole, key_digits=key_digits, **limits)
        self._tables = table_names("logs", key_digits)

    def write(self, records: Records, first_index: int = 0) -> Written:
        bodies = (library.TableBody * len(self._tables))()
        memory = [bytearray() for _ in self._tables]
        indices = [array("I", bytes(4 * self._rules.max_rows)) for _ in self._tables]
        unsure = array("I", bytes(4 * len(records)))
        cursor = library.RowCursor()
        done = Written([], [])
        for part in records.parts:
            self._write_part(part, first_index, cursor, unsure, bodies, memory, indices, done)
            first_index += len(part)
        for table, body in enumerate(bodies):
            if body.rows:
                done.bodies.append(self._closed(table, body, memory, indices))
        done.unsure += unsure[: cursor.unsure]
        return done

    def _write_part(
        self,
        part: Columns,
        first_index: int,
        cursor: library.RowCursor,
        unsure: "array[int]",
        bodies: Any,
        memory: list[bytearray],
        indices: list["array[int]"],
        done: Written,
    ) -> None:
        columns = library.columns_of(part)
        cursor.index = cursor.text_offset = cursor.label_offset = 0
        while True:
            result = self._write_rows(
                self._rules, columns, first_index, bodies, library.address(unsure), cursor
            )
            done.results.add(result)
            if result == library.DONE:
                break
            assert cursor.index < len(part)
            if result == library.OTHER_DAY:
                arrival_ms = part.arrivals[cursor.index]
                assert self._rules.arrival_day != arrival_ms // DAY_MS
                self._rules.arrival_day = arrival_ms // DAY_MS
                self._rules.oldest_day[:] = day(arrival_ms, -OLDEST_DAYS)
                self._rules.newest_day[:] = day(arrival_ms, NEWEST_DAYS)
                continue
            table = cursor.table
            body = bodies[table]
            if result == library.BODY_NEEDS_BYTES:
                assert cursor.bytes > body.capacity
                text = bytes(memory[table])[: body.size] or HEAD
                needed = cursor.bytes + len(text) - body.size
                memory[table] = bytearray(text.ljust(needed, b"?"))
                body.body, body.capacity = library.address(memory[table]), needed
                body.size, body.indices = len(text), library.address(indices[table])
            else:
                assert result == library.BODY_IS_FULL
                assert body.rows
                done.bodies.append(self._closed(table, body, memory, indices))
                bodies[table] = library.TableBody()
                memory[table] = bytearray()
        assert cursor.index == len(part)
        assert (cursor.text_offset, cursor.label_offset) == (len(part.text), len(part.labels))

    def _closed(self, table: int, body: Any, memory: list[bytearray], indices: list["array[int]"]) -> Body:
        text = bytes(memory[table][: body.size])
        return Body(self._tables[table], text, indices[table][: body.rows].tolist(), body.billed_bytes)


@dataclass
class Row:
    table: str
    text: bytes
    billed_bytes: int


def rows_of_python(records: Sequence[Record], *, whole: bool, key_digits: int) -> dict[int, Row]:
    """By index; the records that Python rejects have none."""
    rows: dict[int, Row] = {}
    rejections: list[Rejection] = []
    maker = encoder(fields_row() if whole else log_row(), key_digits=key_digits)
    for row in maker.rows(records, range(len(records)), rejections):
        rows[row.index] = Row(row.table, row.text, max(row.content_bytes, LEAST_BILLED_BYTES))
    return rows


def assert_agrees(written: Written, records: Sequence[Record], *, whole: bool, key_digits: int) -> None:
    rows = rows_of_python(records, whole=whole, key_digits=key_digits)
    for body in written.bodies:
        made = [rows[index] for index in body.indices]
        assert {row.table for row in made} == {body.table}
        assert body.text == HEAD + b",".join(row.text for row in made)
        assert body.billed_bytes == sum(row.billed_bytes for row in made)
    sure = [index for body in written.bodies for index in body.indices]
    assert sorted([*sure, *written.unsure]) == list(range(len(records)))
    assert written.unsure == sorted(written.unsure)
    for table in {body.table for body in written.bodies}:
        in_order = [index for body in written.bodies if body.table == table for index in body.indices]
        assert in_order == sorted(in_order)


# Records


def iso(time_ms: int, *, milliseconds: bool = True) -> str:
    moment = EPOCH + datetime.timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds" if milliseconds else "seconds")[:-6].rstrip(".") + "Z"


hex_keys = st.text("0123456789abcdefABCDEF", min_size=2, max_size=40)
odd_keys = st.one_of(
    st.none(),
    scalars,
    st.text('0aAgG:/@`é\U0001f600\\"\x7f\t', max_size=4),
    st.lists(st.integers(), max_size=2),
)
fillers = st.builds(
    lambda before, specials, after: "a" * before + specials + "b" * after,
    st.integers(0, 70),
    st.text('"\\\t/\né\U0001f600\x7fx', max_size=10),
    st.integers(0, 40),
)
arrivals = st.one_of(
    st.just(ARRIVAL_MS),
    st.integers(ARRIVAL_MS - 3 * DAY_MS, ARRIVAL_MS + 3 * DAY_MS),
    st.integers(0, LAST_ARRIVAL_MS),
    st.sampled_from([0, 1, DAY_MS - 1, DAY_MS, 951_782_400_000 - 1, 951_782_400_000, 951_868_800_000 - 1]),
    st.just(LAST_ARRIVAL_MS),
)


@st.composite
def times(draw: st.DrawFn, arrival_ms: int) -> str | None:
    """None, or a time in BigQuery's notation that it takes a row for."""
    if draw(st.integers(0, 4)) == 0:
        return None
    today = arrival_ms // DAY_MS
    days = draw(st.sampled_from([0, 0, 0, -OLDEST_DAYS, NEWEST_DAYS, 1 - OLDEST_DAYS, NEWEST_DAYS - 1]))
    time_ms = (today + days) * DAY_MS + draw(st.integers(0, DAY_MS - 1) | st.sampled_from([0, DAY_MS - 1]))
    return iso(time_ms, milliseconds=draw(st.booleans()))


@st.composite
def padded(draw: st.DrawFn, members: dict[str, Any]) -> bytes:
    """An object in some spelling on one line, tabs between its tokens now and then."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (",\t", "\t:\t")]))
    around = draw(st.sampled_from([("", ""), (" ", "\t"), ("\t" * 17, " " * 33)]))
    text = json.dumps(members, separators=separators, ensure_ascii=False)
    return (around[0] + text + around[1]).encode()


@st.composite
def producers(draw: st.DrawFn, *, timed: bool = False) -> Record:
    """Records as producers write them. With `timed` each has a time of its own."""
    arrival_ms = draw(arrivals)
    members: dict[str, Any] = {"k": draw(hex_keys)}
    time = draw(times(arrival_ms))
    if time is not None or timed:
        members["t"] = time or iso(arrival_ms)
    elif draw(st.booleans()):
        members["t"] = None
    others = draw(
        st.dictionaries(
            st.text(
                st.characters(codec="ascii", exclude_characters='"\\kt', exclude_categories=["Cc"]),
                max_size=3,
            ),
            fillers | st.integers(),
            max_size=4,
        )
    )
    names = draw(st.permutations([*members, *others]))
    payload = draw(padded({name: (members | others)[name] for name in names}))
    return record(
        payload,
        sequence=str(draw(st.integers(0, 10**56))),
        sub=draw(st.just(0) | st.integers(0, 2**64 - 1)),
        arrival_ms=arrival_ms,
        key=draw(st.text(max_size=5)),
    )


odd_times = st.one_of(
    scalars,
    st.sampled_from(
        [
            *("", "2023-11-14", "2023-11-14T22:13:20", "2023-11-14 22:13:20Z", "2023-11-14T22:13:20+00:00"),
            *(
                "2023-11-14T22:13:20z",
                "2023-11-14t22:13:20Z",
                "2023-11-14T22:13:20.1Z",
                "2023-11-14T22:13:20,123Z",
            ),
            *("2023-11-14T22:13:20.123456Z", "2023-11-14T24:00:00Z", "2023-11-14T24:00:00.000Z"),
            *("2023-11-14T22:13:60Z", "2023-11-14T22:60:20Z", "2023-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            *(
                "2016-02-29T00:00:00.000Z",
                "2100-02-29T00:00:00Z",
                "2023-11-31T00:00:00Z",
                "2023-00-14T00:00:00Z",
            ),
            *("2023-13-14T00:00:00Z", "2023-11-00T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            *(
                "9999-12-31T23:59:59Z",
                "2O23-11-14T22:13:20Z",
                "20231114T221320.000000Z",
                "2023-W46-2T22:13:20Z",
            ),
            *("+023-11-14T22:13:20Z", "2023-11-14T22:13:20.-12Z", "٢٠٢٣-11-14T22:13:20Z", "1700000000000"),
        ]
    ),
)


@st.composite
def odd_records(draw: st.DrawFn) -> Record:
    arrival_ms = draw(arrivals | st.integers(-(10**13), 250_000_000_000_000))
    members: dict[str, Any] = draw(st.dictionaries(texts, values, max_size=3))
    if draw(st.integers(0, 4)):
        members["k"] = draw(hex_keys | odd_keys)
    if draw(st.integers(0, 4)):
        members["t"] = draw(odd_times)
    sequence = draw(st.integers(0, 10**56).map(str) | st.text('0129:/"\\é\n', max_size=4))
    payload = draw(spelled(st.just(members)) | spelled(values))
    return record(payload, sequence=sequence, sub=draw(st.integers(0, 3)), arrival_ms=arrival_ms)


@st.composite
def faulty_records(draw: st.DrawFn) -> Record:
    """Producers' records with a few bytes changed."""
    good = draw(producers())
    payload = draw(mutated(st.just(good.data)))
    return msgspec.structs.replace(good, data=payload)


shapes = st.booleans()
digits = st.integers(0, 2)


@given(shapes, digits, st.lists(producers(), max_size=12))
def test_rows_are_those_of_python(native: Any, whole: bool, key_digits: int, some: list[Record]) -> None:
    """None is unsure, but for whole rows that have no time."""
    written = Writer(native, whole=whole, key_digits=key_digits).write(Records.of(some))
    assert_agrees(written, some, whole=whole, key_digits=key_digits)
    untimed = [index for index, one in enumerate(some) if json.loads(one.data).get("t") is None]
    assert written.unsure == (untimed if whole else [])


@given(shapes, digits, st.lists(producers() | odd_records() | faulty_records(), max_size=8))
def test_rows_of_any_records_are_those_of_python_or_left_to_it(
    native: Any, whole: bool, key_digits: int, some: list[Record]
) -> None:
    written = Writer(native, whole=whole, key_digits=key_digits).write(Records.of(some))
    assert_agrees(written, some, whole=whole, key_digits=key_digits)


@given(st.lists(producers(timed=True), max_size=12), shapes, st.integers(1, 4), st.integers(50, 1200))
def test_bodies_take_what_fits_and_no_more(
    native: Any, some: list[Record], whole: bool, max_rows: int, max_bytes: int
) -> None:
    writer = Writer(native, whole=whole, max_rows=max_rows, max_bytes=max_bytes)
    written = writer.write(Records.of(some))
    assert_agrees(written, some, whole=whole, key_digits=1)
    rows = rows_of_python(some, whole=whole, key_digits=1)
    too_large = [index for index, row in rows.items() if len(HEAD) + len(row.text) > max_bytes]
    assert written.unsure == sorted(too_large)
    assert all(len(body.text) <= max_bytes and len(body.indices) <= max_rows for body in written.bodies)
    for body, later in pairs_of_a_table(written.bodies):
        first_of_later = rows[later.indices[0]]
        others = [index for index in too_large if body.indices[-1] < index < later.indices[0]]
        is_full = len(body.indices) == max_rows
        assert is_full or len(body.text) + 1 + len(first_of_later.text) > max_bytes or others


def pairs_of_a_table(bodies: Sequence[Body]) -> list[tuple[Body, Body]]:
    last: dict[str, Body] = {}
    pairs = []
    for body in bodies:
        if body.table in last:
            pairs.append((last[body.table], body))
        last[body.table] = body
    return pairs


@given(st.integers(0, 70), st.text('"\\\tx', max_size=70), st.integers(0, 66))
@example(31, "\t", 0)
@example(0, "\t" * 64, 0)
def test_what_has_to_be_escaped_is_wherever_it_stands(
    native: Any, before: int, some: str, after: int
) -> None:
    """Vectors of 16 and of 32 bytes, and the last ones before the end of the buffer."""
    text = json.dumps("a" * before + some).replace(r"\t", "\\\\t")
    payload = ('{"k":"ab","t":null,"x":' + text + "}" + "\t" * (after % 3) + " " * after).encode()
    tabbed = payload.replace(b'"ab",', b'"ab",' + b"\t" * some.count("\t"))
    some_records = [record(payload), record(tabbed, sequence="2")]
    for records in (some_records, some_records[1:], some_records[:1]):
        written = Writer(native).write(Records.of(records))
        assert written.unsure == []
        assert_agrees(written, records, whole=False, key_digits=1)


def unsure_of(native: Any, *some: Record, **options: Any) -> list[int]:
    written = Writer(native, **options).write(Records.of(some))
    options.setdefault("whole", False)
    options.setdefault("key_digits", 1)
    assert_agrees(written, some, **{name: options[name] for name in ("whole", "key_digits")})
    return written.unsure


@pytest.mark.parametrize(
    ("payload", "key_digits"),
    [
        (b"", 0),
        (b"\n", 0),
        (b"[]", 0),
        (b"1", 0),
        (b"null", 0),
        (b"{}{}", 0),
        (b'{"k":"ab"', 0),
        (b'{"k":"ab","x":01}', 1),
        (b'{"k":"ab","x":00}', 1),
        (b'{"k":"ab","x":}', 1),
        (b'{"k":"ab","x":1 2}', 1),
        (b'{"k":"ab","x":1a}', 1),
        (b'{"k":"ab"}\n', 1),
        (b'{"k":"ab",\n"x":1}', 1),
        (b'{"k":"ab"}\r', 1),
        (b'{"k":"ab"}\x00', 1),
        (b'{"k":"ab"}x', 1),
        (b"{}", 1),
        (b'{"k":null}', 1),
        (b'{"k":""}', 1),
        (b'{"k":"a"}', 2),
        (b'{"k":"ag"}', 2),
        (b'{"k":"g"}', 1),
        (b'{"k":":"}', 1),
        (b'{"k":"@"}', 1),
        (b'{"k":"`"}', 1),
        ('{"k":"aé"}'.encode(), 1),
        ('{"k":"\N{FULLWIDTH LATIN SMALL LETTER A}"}'.encode(), 1),
        (rb'{"k":"\u0061"}', 1),
        (b'{"k":1}', 0),
        (b'{"k":[]}', 0),
        (b'{"k":true}', 0),
        (b'{"k":"a","k":"b"}', 1),
        (b'{"k":"a","k":null}', 1),
        (rb'{"k":"a","\u006b":"b"}', 1),
        (b'{"k":"a","t":null,"t":null}', 1),
        (rb'{"k":"a","\ud800":1}', 1),
        (b'{"k":"a","x":"\xff"}', 1),
        (b'{"k":"a","x":' + b"[" * 65 + b"]" * 65 + b"}", 1),
    ],
    ids=repr,
)
def test_these_payloads_are_left_to_python(native: Any, payload: bytes, key_digits: int) -> None:
    good = record(b'{"k":"ab"}', sequence="2")
    assert unsure_of(native, good, record(payload), good, key_digits=key_digits) == [1]


@pytest.mark.parametrize(
    ("time", "is_sure"),
    [
        ("2023-11-14T22:13:20Z", True),
        ("2023-11-14T22:13:20.000Z", True),
        ("2023-11-14T00:00:00Z", True),
        ("2023-11-14T23:59:59.999Z", True),
        ("2024-02-29T00:00:00Z", True),
        ("2016-02-29T00:00:00Z", True),
        ("2013-11-16T00:00:00Z", True),  # 3650 days before
        ("2013-11-15T23:59:59Z", False),
        ("2024-11-13T23:59:59Z", True),  # 365 days after, over a leap day
        ("2024-11-14T00:00:00Z", False),
        ("2023-02-29T00:00:00Z", False),
        ("2023-04-31T00:00:00Z", False),
        ("2023-13-01T00:00:00Z", False),
        ("2023-11-14T24:00:00Z", False),
        ("2023-11-14T22:60:00Z", False),
        ("2023-11-14T22:13:60Z", False),
        ("2023-11-14T22:13:20z", False),
        ("2023-11-14 22:13:20Z", False),
        ("2023-11-14T22:13:20", False),
        ("2023-11-14T22:13:20.123456Z", False),
        ("2023-11-14T22:13:20+00:00", False),
        ("2023-11-14T22:13:20.12:Z", False),
        ("", False),
        ("x", False),
        (1_700_000_000, False),
        (False, False),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_times_in_bigquerys_notation_are_sure_within_its_bounds(
    native: Any, time: object, is_sure: bool, whole: bool
) -> None:
    payload = json.dumps({"k": "ab", "t": time}).encode()
    assert unsure_of(native, record(payload), whole=whole) == ([] if is_sure else [0])


@pytest.mark.parametrize("year", [1972, 1999, 2000, 2024, 2100, 2104])
def test_every_day_of_a_year_is_written_as_python_writes_it(native: Any, year: int) -> None:
    begin = (datetime.date(year, 1, 1) - EPOCH.date()).days
    some = [
        record(b'{"k":"ab"}', sequence=str(number), arrival_ms=(begin + number) * DAY_MS + number * 236_117)
        for number in range(366)
    ]
    assert unsure_of(native, *some) == []


@pytest.mark.parametrize(
    ("arrival_ms", "is_sure"),
    [
        (-1, False),
        (0, True),
        (LAST_ARRIVAL_MS, True),
        (LAST_ARRIVAL_MS + 1, False),
        (8_589_934_592_001, False),
        (250_000_000_000_001, False),
    ],
)
def test_arrivals_far_from_the_present_are_left_to_python(
    native: Any, arrival_ms: int, is_sure: bool
) -> None:
    expected = [] if is_sure else [0]
    assert unsure_of(native, record(b'{"k":"ab"}', arrival_ms=arrival_ms)) == expected


@pytest.mark.parametrize(
    "sequence", ["", "1", "4" * 56, "0", '"', "1\\", "1\n", "é", "\ud800", "1 ", "1.5", "TRIM_HORIZON"]
)
def test_a_sequence_number_that_is_none_is_left_to_python(native: Any, sequence: str) -> None:
    some = Records.of([record(b'{"k":"ab"}', sequence=sequence), record(b'{"k":"ab"}')])
    written = Writer(native).write(some)
    assert written.unsure == ([] if not sequence or sequence.isdecimal() else [0])
    if "\ud800" not in sequence:
        assert_agrees(written, some, whole=False, key_digits=1)


def test_every_result_comes_and_the_rows_are_right_all_the_same(native: Any) -> None:
    some = [
        record(
            b'{"k":"a%x","n":"%s"}' % (number % 16, b"x" * (number % 300)),
            sequence=str(number),
            arrival_ms=number * DAY_MS // 200,
        )
        for number in range(2 * PART_RECORDS + 7)
    ]
    written = Writer(native, max_rows=7, max_bytes=2500).write(Records.of(some))
    assert_agrees(written, some, whole=False, key_digits=1)
    assert written.results == {
        library.DONE,
        library.BODY_IS_FULL,
        library.BODY_NEEDS_BYTES,
        library.OTHER_DAY,
    }
    assert written.unsure == []


def test_indices_are_those_in_the_chunk(native: Any) -> None:
    some = Records.of([record(b'{"k":"a"}'), record(b"?"), record(b'{"k":"b"}')])
    written = Writer(native).write(some, first_index=1000)
    assert [(body.table, body.indices) for body in written.bodies] == [("logs_a", [1000]), ("logs_b", [1002])]
    assert written.unsure == [1001]


def test_large_rows_count_for_what_they_hold(native: Any) -> None:
    sizes = [900, 1000, 1013, 1014, 1024, 1025, 3000]
    some = [record(b'{"k":"ab","x":"%s"}' % (b"x" * size)) for size in sizes]
    assert unsure_of(native, *some) == []
    timed = [record(b'{"k":"ab","t":"2023-11-14T22:13:20Z","x":"%s"}' % (b"x" * size)) for size in sizes]
    assert unsure_of(native, *timed, whole=True) == []


def test_no_records(native: Any) -> None:
    written = Writer(native).write(Records())
    assert (written.bodies, written.unsure) == ([], [])
