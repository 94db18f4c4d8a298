"""That Python and C mean the same structures, and that everything works without the library."""

import ctypes
import importlib.util
import io
import json
import re
import sys
from array import array
from ctypes import Structure
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.records import Record
from consumer.native import library
from consumer.shard.line_reader import LineReader
from consumer.shard.message_parser import MessageParser
from consumer.shard.protocol import MessageIO
from consumer.sinks.payloads import are_json_lines
from consumer.sinks.s3 import S3Sink
from tests.unit.native.messages import kcl_lines, odd_lines
from tests.unit.native.mutations import mutated
from tests.unit.sinks.json_bytes import payloads

STRUCTURES = {
    "span": library.Span,
    "record_columns": library.RecordColumns,
    "row_rules": library.RowRules,
    "table_body": library.TableBody,
    "row_cursor": library.RowCursor,
    "row_places": library.RowPlaces,
    "row_choice": library.RowChoice,
    "choice_cursor": library.ChoiceCursor,
    "column_sizes": library.ColumnSizes,
}
TYPES: dict[str, Any] = {
    "uint64_t": ctypes.c_uint64,
    "int64_t": ctypes.c_int64,
    "byte": ctypes.c_ubyte,
    "span": library.Span,
}


def sources() -> str:
    """All of them, without comments."""
    texts = [path.read_text() for path in sorted(library.SOURCES.glob("*.[ch]"))]
    return re.sub(r"/\*.*?\*/", "", "\n".join(texts), flags=re.DOTALL)


def fields(declarations: str) -> list[tuple[str, Any]]:
    """Names and ctypes types of a structure's members."""
    found: list[tuple[str, Any]] = []
    for declaration in filter(None, map(str.strip, declarations.split(";"))):
        kind, names = declaration.removeprefix("const ").split(maxsplit=1)
        for name in names.split(","):
            plain = name.strip()
            if plain.startswith("*"):
                found.append((plain.lstrip("*"), ctypes.c_void_p))
            elif plain.endswith("]"):
                plain, _, count = plain.removesuffix("]").partition("[")
                found.append((plain, TYPES[kind] * int(count)))
            else:
                found.append((plain, TYPES[kind]))
    return found


@pytest.mark.parametrize(("name", "structure"), STRUCTURES.items())
def test_structures_have_the_members_of_those_in_c(name: str, structure: type[Structure]) -> None:
    match = re.search(rf"typedef struct \{{([^}}]*)\}} {name};", sources())
    assert match is not None
    assert fields(match[1]) == list(structure._fields_)


def test_results_and_the_slack_have_the_numbers_of_those_in_c() -> None:
    enumerations = ",".join(re.findall(r"enum \{(.*?)\}", sources()))
    numbers = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", enumerations)}
    for name in (
        "SLACK",
        "PARSED",
        "UNSURE",
        "MORE_RECORDS",
        "UNFINISHED",
        "AT_BEGIN",
        "AT_MEMBER",
        "BEHIND_MEMBER",
        "AT_RECORD",
        "BEHIND_RECORD",
        "DONE",
        "BODY_IS_FULL",
        "BODY_NEEDS_BYTES",
        "OTHER_DAY",
        "FOUND",
        "NOT_SURE",
        "ON_ANOTHER_DAY",
        "MOST_TABLES",
    ):
        assert getattr(library, name) == numbers[name]


def test_exported_are_the_functions_that_python_calls(native: Any) -> None:
    exported = re.findall(r"^EXPORT \w+ (\w+)\(", sources(), flags=re.MULTILINE)
    assert sorted(exported) == [
        *(
            "find_rows",
            "find_times",
            "is_typed_row",
            "json_lines",
            "measure_columns",
            "measure_typed",
            "parse_records",
            "sort_rows",
            "write_columns",
            "write_rows",
            "write_typed",
        ),
    ]
    for name in exported:
        assert getattr(native, name).argtypes


def test_bin_setup_makes_the_library_that_is_looked_for() -> None:
    path = Path(__file__).parents[3] / "bin/_setup.py"
    spec = importlib.util.spec_from_file_location("consumer_setup", path)
    assert spec is not None
    assert spec.loader is not None
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    assert library.path() == setup.native_library(Path(sys.prefix))


# Without the library


@pytest.mark.usefixtures("switched_off")
def test_it_can_be_switched_off() -> None:
    assert library.load() is None
    assert MessageParser()._parse is None
    assert not are_json_lines(bytearray(b"1\n"), array("I", [1]))


def test_a_library_of_other_sources_is_not_loaded(
    native: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "SOURCES", tmp_path)
    library.found.cache_clear()
    try:
        assert library.load() is None
    finally:
        library.found.cache_clear()


def both_ways(monkeypatch: pytest.MonkeyPatch, what: Any) -> tuple[Any, Any]:
    """Its result with the library and without it."""
    found = []
    for value in ("", "off"):
        with monkeypatch.context() as patch:
            patch.setenv(library.OFF_VARIABLE, value)
            library.found.cache_clear()
            try:
                found.append(what())
            finally:
                library.found.cache_clear()
    return found[0], found[1]


@given(batch=st.lists(payloads, min_size=1, max_size=6), validate=st.booleans())
def test_objects_in_s3_are_the_same_both_ways(native: Any, batch: list[bytes], validate: bool) -> None:
    records = [
        Record(payload, "pk", str(number), 0, 1_700_000_000_000) for number, payload in enumerate(batch)
    ]
    chunk = Chunk(Records.of(records))

    sink = S3Sink(
        client=None,
        bucket="logs",
        prefix="p/",
        partition="dt=%Y-%m-%d",
        object_stem="stream",
        compression_level=1,
        validate_json=validate,
    )

    def prepared() -> Any:
        found = sink.prepare(chunk)
        return [(one.key, bytes(one.body), one.records) for one in found.requests], list(found.rejections)

    with pytest.MonkeyPatch.context() as patch:
        with_it, without_it = both_ways(patch, prepared)
    assert with_it == without_it


@given(line=kcl_lines | mutated(odd_lines()).map(lambda line: line.replace(b"\n", b"") + b"\n"))
def test_messages_are_the_same_both_ways(native: Any, line: bytes) -> None:
    def loaded() -> Any:
        message = MessageIO(_no_reader(), lambda data: None, io.StringIO()).load_action(
            memoryview(bytearray(line))
        )
        return list(message.records), message.millis_behind_latest

    def outcome() -> Any:
        try:
            return loaded()
        except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same
            return type(error)

    with pytest.MonkeyPatch.context() as patch:
        with_it, without_it = both_ways(patch, outcome)
    assert with_it == without_it


def _no_reader() -> LineReader:
    return object()  # type: ignore[return-value]


def test_other_messages_are_the_same_both_ways(native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    message = {"action": "initialize", "shardId": "s", "sequenceNumber": "1", "subSequenceNumber": 0}
    line = json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def shard() -> Any:
        io_handler = MessageIO(_no_reader(), lambda data: None, io.StringIO())
        return io_handler.load_action(memoryview(bytearray(line))).shard_id

    assert both_ways(monkeypatch, shard) == ("s", "s")
