"""The step between a chunk and its sink."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.errors import TransientError
from consumer.domain.records import Record
from consumer.domain.transformed import OUTPUT_STEP, transformed
from consumer.sinks.base import Prepared, Unordered
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import BIGQUERY
from consumer.transforms.contract import Transform
from consumer.transforms.sink import Step, TransformingSink


def chunk_of(payloads: Sequence[bytes]) -> Chunk:
    return Chunk(
        Records.of(Record(each, f"key {n}", str(1000 + n // 3), n % 3, n) for n, each in enumerate(payloads))
    )


def step(function: Callable[[Any], Any], **seams: Any) -> Step:
    return Step(Transform(place="m:f", function=function), Judge(BIGQUERY), **seams)


@given(st.lists(st.lists(st.binary(max_size=5), max_size=3), min_size=1, max_size=30), st.booleans())
def test_outputs_keep_their_records_place_and_have_identities_of_their_own(
    payloads: list[list[bytes]], one_each: bool
) -> None:
    if one_each:
        payloads = [[b"".join(each)] for each in payloads]
    chunk = chunk_of([b"{}"] * len(payloads))
    made = transformed(chunk, payloads)
    assert (made.name, made.first, made.end, made.count, made.size_bytes) == (
        (chunk.name, chunk.first, chunk.end, chunk.count, chunk.size_bytes)
    )
    expected = [
        (index, number, payload) for index, each in enumerate(payloads) for number, payload in enumerate(each)
    ]
    read = list(chunk.records)
    assert list(made.origins) == [index for index, _, _ in expected]
    assert [record.data for record in made.records] == [payload for _, _, payload in expected]
    assert list(made.records.routing) == [read[index] for index, _, _ in expected]
    for record, (index, number, _) in zip(made.records, expected, strict=True):
        source = read[index]
        assert (record.sequence_number, record.partition_key, record.arrival_ms) == (
            (source.sequence_number, source.partition_key, source.arrival_ms)
        )
        assert record.sub_sequence_number == source.sub_sequence_number + OUTPUT_STEP * number
    assert len({record.position for record in made.records}) == len(expected)
    for index, each in enumerate(payloads):
        assert len(made.outputs_of(index)) == len(each)
    assert made.records.payload_bytes == sum(len(payload) for _, _, payload in expected)


def test_many_records_are_cut_into_parts_as_ever() -> None:
    payloads = [b'{"n":%d}' % number for number in range(1234)]
    made = step(lambda record: None if record["n"] % 3 else record).apply(chunk_of(payloads))
    assert [record.data for record in made.chunk.records] == payloads[::3]
    assert [len(part) for part in made.chunk.records.parts] == [412]
    assert made.filtered == 1234 - 412


def test_a_record_that_is_refused_is_not_given_to_the_function() -> None:
    seen: list[object] = []
    payloads = [b"{", b'{"n":1}', b'{"n":1e400}', b"[]"]
    made = step(seen.append).apply(chunk_of(payloads))
    told = [(each.index, each.reason) for each in made.rejections]
    assert told == [(0, "not_json"), (2, "bad_number"), (3, "not_an_object")]
    assert (seen, made.filtered) == ([{"n": 1}], 1)


def test_a_lack_of_memory_is_waited_out() -> None:
    def hungry(record: object) -> object:
        raise MemoryError

    with pytest.raises(TransientError):
        step(hungry).apply(chunk_of([b"{}"]))


def test_slow_records_are_told_of_and_others_get_their_turn() -> None:
    clock = iter([0.0, 0.01, 0.04, 0.07, 0.07, 1.5, 1.5, 1.51])
    slow: list[tuple[str, float]] = []
    turns: list[None] = []
    step(
        lambda record: record,
        now=lambda: next(clock),
        give_way=lambda: turns.append(None),
        tell_slow=lambda position, seconds: slow.append((str(position), seconds)),
    ).apply(chunk_of([b"{}"] * 5))
    assert [(position, round(seconds, 2)) for position, seconds in slow] == [("1001", 1.43)]
    assert len(turns) == 2


def _at_depth(frames: int, call: Callable[[], Any]) -> Any:
    return call() if frames == 0 else _at_depth(frames - 1, call)


def test_how_deep_a_function_may_go_does_not_depend_on_its_callers_stack() -> None:
    """The verdict on a record is the same in a shard process, in a redrive and in bin/transform."""

    def down(levels: int) -> None:
        if levels:
            down(levels - 1)

    def function(record: dict[str, Any]) -> dict[str, Any]:
        down(record["levels"])
        return record

    chunk = chunk_of([b'{"levels":%d}' % levels for levels in range(900, 1010)])
    before = sys.getrecursionlimit()
    found = [
        {each.index for each in _at_depth(frames, lambda: step(function).apply(chunk)).rejections}
        for frames in (0, 300)
    ]
    assert found[0] == found[1]
    assert 0 < len(found[0]) < len(chunk.records)
    assert sys.getrecursionlimit() == before


def test_records_that_nobody_looks_at_again_are_let_go_of() -> None:
    """With their outputs: else each request in flight would hold both beside its body."""

    class Bodies(Unordered):
        def prepare(self, chunk: Chunk) -> Prepared[str]:
            return Prepared(["body"], may_release_records=True)

    chunk = chunk_of([b"{}"] * 3)
    bodies: Any = Bodies()
    prepared: Prepared[Any] = TransformingSink(bodies, step(lambda record: record)).prepare(chunk)
    assert prepared.may_release_records
    [request] = prepared.requests
    assert len(request.made.chunk.records) == 0
    assert request.made.chunk.origins == range(3)
