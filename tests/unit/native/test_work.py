"""What the C library does about a record grows with the bytes of the record, and with nothing else.

Whoever can put records chooses their bytes; tables, columns and neighbours must not multiply them.
"""

import base64
import ctypes
import json
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consumer.domain.columns import Records
from consumer.domain.key_templates import KeyTemplate
from consumer.native import library
from consumer.native.sources import SOURCES
from consumer.settings.schema import Column
from consumer.shard.kcl import message_parser
from consumer.shard.kcl.message_parser import MessageParser
from consumer.sinks.bigquery.arrow_rows.fields_rows import FieldsRows
from consumer.sinks.bigquery.arrow_rows.log_rows import LogRows
from consumer.sinks.bigquery.arrow_rows.typed_columns import TypedSchema
from consumer.sinks.bigquery.insert_all.c_rows import RowWriter
from consumer.sinks.bigquery.rows.encoder import RowEncoder
from consumer.sinks.bigquery.rows.shapes import RowShape
from consumer.sinks.json.fields import FieldReader
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import BIGQUERY
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.routes import KeyRoutes
from tests.unit.builders import record
from tests.unit.native.compilers import compiled, compiler_with
from tests.unit.native.messages import RECORD, as_line, as_message
from tests.unit.sinks.bigquery.builders import encoder, fields_row, log_row, request_maker
from tests.unit.sinks.bigquery.storage_write.builders import SHARD, field_rules

COUNTED = "-fsanitize-coverage=trace-pc"
COUNTER = Path(__file__).with_name("count_work.c")
BYTES = 30_000
MOST_A_BYTE = 40
"""Stretches of code, of which the shortest member, `"":0,`, takes some forty. A row is found, and then written."""

COLUMNS = (
    Column("k", "STRING"),
    Column("t", "TIMESTAMP"),
    *(Column(f"column_{number:03}", "INTEGER") for number in range(505)),
    Column("decimal", "NUMERIC"),
    *(
        Column(f"{kind}_array".lower(), kind, "REPEATED")
        for kind in ("INTEGER", "NUMERIC", "STRING", "FLOAT")
    ),
)


@dataclass
class Counting:
    """The library, and the work that it does."""

    native: ctypes.CDLL

    def of(self, task: Callable[[], object]) -> int:
        before = self.native.work_done()
        task()
        done: int = self.native.work_done() - before
        return done


@pytest.fixture(scope="module")
def whole_module(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    compiler = compiler_with(COUNTED, str(COUNTER))
    if compiler is None:
        pytest.skip(f"no C compiler with {COUNTED} on this machine")
    folder = tmp_path_factory.mktemp("counted")
    counter = compiled([*compiler, "-c", "-fPIC", COUNTER], folder / "counter.o")
    sources = sorted(SOURCES.glob("*.c"))
    options = ("-std=c11", "-O1", "-fPIC", "-shared", COUNTED)
    native = library.opened(compiled([*compiler, *options, *sources, counter], folder / "counted.so"))
    native.work_done.restype = ctypes.c_uint64
    return Counting(native)


@pytest.fixture
def counting(whole_module: Counting, monkeypatch: pytest.MonkeyPatch) -> Counting:
    monkeypatch.setattr(library, "load", lambda: whole_module.native)
    return whole_module


# Records of about so many bytes


def of_members(member: str) -> Callable[[int], bytes]:
    """The same member again and again."""

    def made(size: int) -> bytes:
        return b'{"k":"a",%b"end":0}' % (member.encode() * (size // len(member.encode())))

    return made


def around(head: str, unit: str, end: str) -> Callable[[int], bytes]:
    def made(size: int) -> bytes:
        return f"{head}{unit * (size // len(unit.encode()))}{end}".encode()

    return made


RECORDS: dict[str, Callable[[int], bytes]] = {
    "unknown names": of_members('"a":0,'),
    "empty names": of_members('"":0,'),
    "unknown names as long as those of columns": of_members('"member_000":0,'),
    "names in other case": of_members('"COLUMN_001":0,'),
    "names of other scripts": of_members('"é":0,'),
    "names with escapes": of_members(r'"\u0061":0,'),
    "one column's name": of_members('"column_504":0,'),
    "a long name": around('{"k":"a","', "a", '":0}'),
    "a long name of another script": around('{"k":"a","', "é", '":0}'),
    "a long key": around('{"k":"a', "a", '"}'),
    "a long text": around('{"k":"a","x":"', "a", '"}'),
    "escapes": around('{"k":"a","x":"', r"\"\\", '"}'),
    "escaped pairs": around('{"k":"a","x":"', r"\ud83d\ude00", '"}'),
    "quotes for a log to escape": around('{"k":"a","x":[', '"",', '""]}'),
    "digits": around('{"k":"a","x":1', "1", "}"),
    "small arrays": around('{"k":"a","x":[', "[],", "[]]}"),
    "arrays of numbers": around('{"k":"a","integer_array":[', "0,", "0]}"),
    "arrays of decimals": around('{"k":"a","numeric_array":[', "0,", "0]}"),
    "arrays of fractions": around('{"k":"a","float_array":[', "0.5,", "0]}"),
    "arrays of texts": around('{"k":"a","string_array":[', '"",', '""]}'),
    "an array that does not end": around('{"k":"a","string_array":[', '"",', ""),
    "a long decimal": around('{"k":"a","decimal":"0.', "0", '"}'),
    "a decimal with many digits": around('{"k":"a","decimal":"', "9", '"}'),
    "deep arrays": around('{"k":"a","x":', "[", ""),
    "spaces": around('{"k":"a"', " ", "}"),
    "only quotes": around("", '"', ""),
    "only backslashes": around('"', "\\", ""),
    "a number that is no column's": around('{"k":"a","column_001":1', "1", "}"),
}


# What is done with them


def lines(payload: bytes) -> object:
    return list(Judge(BIGQUERY).unsure(bytearray(payload + b"\n"), array("I", [len(payload)])))


def times(payload: bytes) -> object:
    return RecordTimes(time_field="t", time_format="iso8601", max_depth=500).times_ms(
        Records.of([record(payload)])
    )


def routed(payload: bytes) -> object:
    template = KeyTemplate("{k}/{integer_array}", stream="logs", shard=SHARD)
    records = Records.of([record(payload)])
    return KeyRoutes(template, most=1, max_depth=500).group(records, records.arrivals())


def inserted(shape: RowShape) -> Callable[[bytes], object]:
    def made(payload: bytes) -> object:
        own: RowEncoder = encoder(shape)
        writer = RowWriter.of(own, request_maker(shape))
        assert writer is not None
        return writer.requests(Records.of([record(payload)]))

    return made


FIELDS = {
    "bigquery__partition_field": "t",
    "record__key_field": "k",
    "record__time_field": "t",
    "bigquery__unknown_fields": "ignore",
}


def log_rows(payload: bytes) -> None:
    maker = LogRows(field_rules((), bigquery__row="log", **FIELDS))
    tables, _ = maker.make(Records.of([record(payload)]), [0])
    for rows in tables.values():
        maker.batch(rows).serialize_after(b"")


def fields_rows(payload: bytes) -> None:
    maker = FieldsRows.of(field_rules(COLUMNS, **FIELDS), shard=SHARD)
    assert maker is not None
    tables, _ = maker.make(Records.of([record(payload)]), [0])
    for rows in tables.values():
        maker.batch(rows).serialize_after(b"")


def judged(payload: bytes) -> object:
    return Judge(BIGQUERY).fault(payload)


def read(payload: bytes) -> object:
    return FieldReader(key_field="k", time_field="t", limits=BIGQUERY).read([payload])


def message_of(payload: bytes) -> bytes:
    """With the payload as a record's data, and as another one's key."""
    record_of_kcl = json.loads(RECORD)
    data = {**record_of_kcl, "data": base64.b64encode(payload).decode()}
    key = {**record_of_kcl, "partitionKey": payload.decode("latin-1")}
    return as_line(as_message([data, key], None))


def parsed(payload: bytes) -> object:
    return MessageParser().parse(memoryview(bytearray(message_of(payload))))


def parsed_in_pieces(payload: bytes) -> object:
    """As they come out of a pipe."""
    line = message_of(payload)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message_parser, "_SMALL_BYTES", 0)
        parser = MessageParser()
        done = 0
        for end in range(500, len(line), 500):
            done += parser.look_ahead(memoryview(bytearray(line[done:end] + b"\n")))
        return parser.parse(memoryview(bytearray(line[done:])))


TASKS: dict[str, Callable[[bytes], object]] = {
    "parse_records": parsed,
    "parse_records, in pieces": parsed_in_pieces,
    "judge_json": judged,
    "read_fields": read,
    "json_lines": lines,
    "find_times": times,
    "find_groups": routed,
    "insertAll, row=log": inserted(log_row()),
    "insertAll, row=fields": inserted(fields_row()),
    "storage_write, row=log": log_rows,
    "storage_write, row=fields": fields_rows,
}


MORE_OFTEN = {"parse_records, in pieces": 3, "arrays of decimals": 3, "arrays of fractions": 2}
"""What comes in pieces is looked at again, three times at most. A value in an array takes as much as a member, and has
fewer bytes."""


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", RECORDS)
def test_twice_the_bytes_are_twice_the_work(counting: Counting, task: str, name: str) -> None:
    payload = RECORDS[name]
    some = counting.of(lambda: TASKS[task](payload(BYTES)))
    twice = counting.of(lambda: TASKS[task](payload(2 * BYTES)))
    assert some > 0
    assert twice - some <= MOST_A_BYTE * BYTES * MORE_OFTEN.get(task, 1) * MORE_OFTEN.get(name, 1)


def schema_of(names: list[str]) -> TypedSchema:
    columns = [Column("t", "TIMESTAMP"), *(Column(name, "INTEGER") for name in names)]
    native = library.load()
    return TypedSchema(native, columns, key_field="k", time_column="t", takes_unknown=True)


ENDS = ("id", "count", "time", "score", "rate", "level", "kills", "gold", "team", "map", "mode", "rank")
NAMES: dict[str, list[str]] = {
    "short": [f"c{number}" for number in range(511)],
    "numbered": [f"field_{number:03}" for number in range(511)],
    "numbered at the beginning": [f"_{number}_value" for number in range(511)],
    "long": ["x" * 290 + f"_{number}" for number in range(511)],
    "two letters": [chr(97 + number // 26) + chr(97 + number % 26) for number in range(511)],
    "of each length": ["abcd"[number // 128] * (number % 128 + 1) for number in range(511)],
    "other scripts": [f"ÄÖ_{number}_Ñ" for number in range(511)],
    "words": [f"{one}_{two}_{three}" for one in ENDS for two in ENDS for three in ENDS][:511],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_a_column_is_found_by_few_looks_however_many_there_are(native: Any, names: list[str]) -> None:
    assert len(set(names)) == 511
    schema = schema_of(names).for_c
    assert schema.most_steps <= 8
    assert schema.longest_name == max(len(name.encode()) for name in names)


def test_whoever_knows_the_columns_finds_no_name_that_takes_much_longer(counting: Counting) -> None:
    names = NAMES["numbered"]
    rules = library.RowRules(key_name=library.Texts().span(b"k"))
    schema = schema_of(names).for_c
    chosen = random.Random(7)

    def work(name: str) -> int:
        text = b'{"%b":0}\n' % name.encode()
        return counting.of(lambda: counting.native.array_bytes_of(text, len(text), schema, rules))

    found = [work(f"field_{chosen.randrange(36**3):03x}"[:9]) for _ in range(5000)]
    assert max(found) - min(found) <= (schema.most_steps + 1) * 4 * (len(names[0]) + 4)


def test_every_column_is_found_by_its_name_and_no_other_one_is(native: Any) -> None:
    for names in NAMES.values():
        own = schema_of(names)
        rules = library.RowRules(key_name=library.Texts().span(b"k"))
        for name in names:
            # a text is no INTEGER, so that a row with one says that its column was found
            for text, is_row in (
                (f'{{"{name}":0}}\n', 1),
                (f'{{"{name}":""}}\n', 0),
                (f'{{"{name}_":""}}\n', int(name.isascii())),
            ):
                data = text.encode()
                found = native.array_bytes_of(data, len(data), own.for_c, rules)
                assert (found != library.NO_ROW) == is_row
