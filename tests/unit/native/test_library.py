"""The library is the one of the present sources, and everything works without it."""

import io
import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.names import NATIVE_VARIABLE
from consumer.domain.records import Record
from consumer.native import library, sources
from consumer.shard.kcl.line_reader import LineReader
from consumer.shard.kcl.message_parser import MessageParser
from consumer.shard.kcl.protocol import MessageIO
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import Limits
from consumer.sinks.s3.sink import S3Sink
from tests.unit.native.messages import kcl_lines, odd_lines
from tests.unit.native.mutations import mutated
from tests.unit.sinks.formats import ndjson
from tests.unit.sinks.json_bytes import payloads

# Without the library


@pytest.mark.usefixtures("switched_off")
def test_it_can_be_switched_off() -> None:
    assert library.load() is None
    assert list(Judge(Limits(max_depth=500)).unsure(bytearray(b"1\n"), array("I", [1]))) == [(0, 0)]
    assert MessageParser()._parse is None


def test_a_library_of_other_sources_is_not_loaded(
    native: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sources, "SOURCES", tmp_path)
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
            patch.setenv(NATIVE_VARIABLE, value)
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

    def prepared() -> Any:
        sink = S3Sink(
            client=None,
            bucket="logs",
            prefix="p/",
            partition="dt=%Y-%m-%d",
            object_stem="stream",
            object_format=ndjson(validate_json=validate),
        )
        found = sink.prepare(chunk)
        return [(one.key, bytes(one.body), one.records) for one in found.requests], list(found.rejections)

    with pytest.MonkeyPatch.context() as patch:
        with_it, without_it = both_ways(patch, prepared)
    assert with_it == without_it


@given(line=kcl_lines | mutated(odd_lines()).map(lambda line: line.replace(b"\n", b"") + b"\n"))
def test_messages_are_the_same_both_ways(native: Any, line: bytes) -> None:
    def loaded() -> Any:
        message = _message_io().load_action(memoryview(bytearray(line)))
        return list(message.records), message.millis_behind_latest

    def outcome() -> Any:
        try:
            return loaded()
        except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same
            return type(error)

    with pytest.MonkeyPatch.context() as patch:
        with_it, without_it = both_ways(patch, outcome)
    assert with_it == without_it


def _message_io() -> MessageIO:
    reader: LineReader = object()  # type: ignore[assignment]
    return MessageIO(reader, lambda data: None, io.StringIO(), lambda records: None)


def test_other_messages_are_the_same_both_ways(native: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    message = {"action": "initialize", "shardId": "s", "sequenceNumber": "1", "subSequenceNumber": 0}
    line = json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def shard() -> Any:
        return _message_io().load_action(memoryview(bytearray(line))).shard_id

    assert both_ways(monkeypatch, shard) == ("s", "s")
