"""What a transform changes, and what it leaves alone, behind every sink.

The function of these tests does what the record says: `out` lists what it returns, without it the record stays.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.errors import SetupError
from consumer.domain.transformed import OUTPUT_STEP
from consumer.transforms.contract import Transform
from tests.contract.backends import Bucket, Faults, Found
from tests.contract.cases import ALL_CASES, ARRIVED, TIME, Case, record
from tests.contract.expected import Taken, chunk_of, expected, records_of, taken
from tests.contract.reading import cell, missing, moment, read_json
from tests.contract.sinks import (
    KINDS,
    LOG_COLUMNS,
    METADATA_COLUMNS,
    SHARD,
    USUAL,
    Kind,
    Options,
    Shard,
    deliver,
    kinds,
    running,
    send_all,
)
from tests.examples import examples

IDENTITY = Transform(place="m:same", function=lambda record: record, digest="same")


def scripted(record: dict[str, Any]) -> Any:
    if record.get("fails"):
        raise KeyError(record["fails"])
    return record.get("out", record)


SCRIPTED = Transform(place="m:scripted", function=scripted, digest="scripted")


# What it leaves as it is


def _as_transformed(kind: Kind, case: Case) -> Case:
    """What becomes of it behind a function that changes nothing: objects alone are records, and of these what can be
    read."""
    if kind.columns:
        return case
    if case.bigquery in ("not_an_object", "not_json", "not_unicode"):
        return replace(case, s3=case.bigquery)
    return case


@kinds(KINDS)
def test_what_the_function_leaves_as_it_is_ends_as_without_it(kind: Kind) -> None:
    """To the byte: the contract's cases are full of spellings that no writer of JSON would choose."""
    for options in dict.fromkeys(case.options for case in ALL_CASES):
        cases = [
            _as_transformed(kind, case)
            for case in ALL_CASES
            if case.options == options and len(case.payload) <= 2_000
        ]
        with running(kind):
            shard = Shard(kind, options, IDENTITY)
            found = taken(shard, deliver(shard.sink(), chunk_of(cases))).in_any_order()
        assert found == expected(kind, cases).in_any_order()


# What it changes


@dataclass(frozen=True)
class Script:
    """A record and what the function makes of it: None where it stays as it is, "fails" for an exception."""

    key: str
    time: str
    outputs: tuple[dict[str, Any], ...] | str | None

    @property
    def payload(self) -> bytes:
        members: dict[str, Any] = {"player_id": self.key, "time": self.time, "score": 1}
        if isinstance(self.outputs, str):
            members["fails"] = self.outputs
        elif self.outputs is not None:
            members["out"] = list(self.outputs)
        return json.dumps(members).encode()

    @property
    def case(self) -> Case:
        return Case(name="", payload=self.payload)


def wanted(kind: Kind, scripts: Sequence[Script], first: int = 1) -> Taken:
    """Worked out record by record, from what the documentation says."""
    found: list[Found] = []
    rejected: dict[int, str] = {}
    records = records_of([script.case for script in scripts], first)
    for index, (script, read) in enumerate(zip(scripts, records, strict=True)):
        if isinstance(script.outputs, str):
            rejected[index] = "transform_failed"
            continue
        outputs = [script.payload] if script.outputs is None else _encoded(script.outputs)
        for number, text in enumerate(outputs):
            if not kind.columns:
                day, hour = script.time[:10], script.time[11:13]
                found.append((f"dt={day}/hour={hour}", text))
                continue
            sub = read.sub_sequence_number + OUTPUT_STEP * number
            position = f"{read.sequence_number}.{sub}".removesuffix(".0")
            table = f"logs_{script.key[0]}" if kind.is_bigquery else "logs"
            found.append((table, _cells(kind, script, text, position)))
    return Taken(found, rejected)


def _encoded(outputs: Sequence[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode() for each in outputs]


def _cells(kind: Kind, script: Script, text: bytes, position: str) -> dict[str, Any]:
    content = read_json(text)
    values = content.last()
    cells: dict[str, Any] = {"player_id": json.loads(text).get("player_id"), "time": moment(script.time)}
    if LOG_COLUMNS[2] in kind.columns:
        cells["log"] = content
    cells |= {"_shard": SHARD, "_sequence_number": position, "_arrived_at": moment(ARRIVED)}
    for column in kind.columns:
        if column not in (*LOG_COLUMNS, *METADATA_COLUMNS):
            cells[column.name] = cell(column, values.get(column.name, missing(column)))
    return {column.name: cells[column.name] for column in kind.columns}


_keys = st.sampled_from(["a1", "b2", "c3"])
_times = st.sampled_from([TIME, "2026-01-02T04:05:06Z", "2026-01-02T05:00:00Z"])
_outputs = st.builds(
    lambda members, more: members | more,
    st.fixed_dictionaries(
        {},
        optional={
            "player_id": st.sampled_from(["a1", "b2", "zz", "p:1", "\u00e9"]),
            "time": st.sampled_from([TIME, "2001-01-01T00:00:00Z", "2026-01-02T04:05:06Z"]),
        },
    ),
    st.fixed_dictionaries({"score": st.integers(-5, 5), "name": st.sampled_from(["x", "\u00fc\n"])}),
)
scripts = st.builds(
    Script,
    _keys,
    _times,
    st.none() | st.just("fails") | st.lists(_outputs, max_size=3).map(tuple) | st.tuples(_outputs),
)


def delivered(shard: Shard, some: Sequence[Script], first: int = 1) -> Taken:
    with running(shard.kind):
        chunk = chunk_of([script.case for script in some], first)
        return taken(shard, deliver(shard.sink(), chunk)).in_any_order()


@given(some=st.lists(scripts, min_size=1, max_size=12))
@examples(15)
@kinds(KINDS)
def test_outputs_go_where_their_record_goes_and_hold_what_they_say(kind: Kind, some: list[Script]) -> None:
    assert delivered(Shard(kind, USUAL, SCRIPTED), some) == wanted(kind, some).in_any_order()


@given(
    one=st.lists(scripts, min_size=1, max_size=6),
    other=st.lists(scripts, min_size=1, max_size=6),
    sent=st.integers(0, 4),
    kept=st.booleans(),
    lost=st.integers(0, 2),
)
@examples(15)
@kinds([kind for kind in KINDS if kind.method in ("insert_all", "storage_write")])
def test_I1_I3_each_output_is_found_once_whenever_a_process_dies(
    kind: Kind, one: list[Script], other: list[Script], sent: int, kept: bool, lost: int
) -> None:
    """In the first chunk or in the second, before or after the first was kept, and the next process reads all again."""
    shard = Shard(kind, USUAL, SCRIPTED)
    second = 1 + len(one)
    with running(kind):
        sink = shard.sink()
        chunk = chunk_of([script.case for script in one])
        deliver(sink, chunk)
        if kept:
            sink.before_checkpoint(chunk.end)
        shard.backend.faults = Faults(lost=lost)
        for request in sink.prepare(chunk_of([script.case for script in other], second)).requests[:sent]:
            try:
                sink.send(request)
            except Exception:  # noqa: BLE001 - the process dies of it
                break
        shard.backend.faults = Faults()
        after = shard.sink()
        deliver(after, chunk_of([script.case for script in one]))
        rejections = deliver(after, chunk_of([script.case for script in other], second))
    both = Taken([*wanted(kind, one).found, *wanted(kind, other, second).found], {})
    assert taken(shard, []).in_any_order().found == both.in_any_order().found
    assert {each.index: each.reason for each in rejections} == wanted(kind, other).rejected


@kinds([kind for kind in KINDS if kind.method == "storage_write"])
def test_a_chunk_of_which_nothing_is_left_moves_the_mark(kind: Kind) -> None:
    """Without that, rows behind it would lie past a mark that reading does not go on from."""
    shard = Shard(kind, USUAL, SCRIPTED)
    row, nothing = Script("a1", TIME, None), Script("a1", TIME, ())
    with running(kind):
        sink = shard.sink()
        for first, script in enumerate((row, nothing, row), 1):
            chunk = chunk_of([script.case], first)
            deliver(sink, chunk)
            if first < 3:
                sink.before_checkpoint(chunk.end)
                shard.start = chunk.end
        again = shard.sink()
        deliver(again, chunk_of([row.case], 3))
    found = [*wanted(kind, [row]).found, *wanted(kind, [row], 3).found]
    assert taken(shard, []).in_any_order().found == sorted(found, key=repr)


@kinds([kind for kind in KINDS if kind.method == "storage_write"])
def test_rows_of_another_transform_hold_the_shard(kind: Kind) -> None:
    """Rows past the mark cannot be told once the function that made them is gone; at the mark there are none."""
    shard = Shard(kind, USUAL, SCRIPTED)
    two = Script("a1", TIME, ({"score": 1}, {"score": 2}))
    chunk = chunk_of([two.case])
    with running(kind):
        deliver(shard.sink(), chunk)
        shard.transform = IDENTITY
        with pytest.raises(SetupError, match="another transform"):
            shard.sink().prepare(chunk)
        shard.transform = SCRIPTED
        sink = shard.sink()
        deliver(sink, chunk)
        sink.before_checkpoint(chunk.end)
        shard.transform = IDENTITY
        deliver(shard.sink(), chunk_of([two.case], 5))
    tables = [table for table, _ in taken(shard, []).found]
    assert tables == ["logs_a"] * 3


@kinds([kind for kind in KINDS if kind.is_bigquery])
def test_a_dead_letter_names_the_outputs_that_were_not_delivered(kind: Kind) -> None:
    shard = Shard(kind, USUAL, SCRIPTED)
    shard.backend.faults = Faults(bad_keys=frozenset({"zz"}))
    outputs = tuple({"player_id": key, "score": 1} for key in ("a1", "zz", "b1"))
    some = [Script("a1", TIME, outputs), Script("b1", TIME, ({"player_id": "zz", "score": 1},))]
    with running(kind):
        sink = shard.sink()
        chunk = chunk_of([script.case for script in some])
        rejections = deliver(sink, chunk)
        told = sorted((each.index, each.outputs, each.reason) for each in rejections)
        assert told == [(0, (2,), "rejected"), (1, (), "rejected")]
        if kind.method == "storage_write":
            return  # a verdict holds
        shard.backend.faults = Faults()
        assert send_all(sink, sink.reconsider(chunk, rejections)) == []
    assert taken(shard, []).in_any_order() == wanted(kind, some).in_any_order()


@kinds(KINDS)
def test_what_was_filtered_is_counted(kind: Kind) -> None:
    some = [
        Script("a1", TIME, ()),
        Script("a1", TIME, None),
        Script("a1", TIME, "fails"),
        Script("a1", TIME, ()),
    ]
    with running(kind):
        prepared = Shard(kind, USUAL, SCRIPTED).sink().prepare(chunk_of([script.case for script in some]))
    assert (prepared.filtered, [each.index for each in prepared.rejections]) == (2, [2])


@kinds(KINDS)
def test_an_output_is_judged_as_any_record(kind: Kind) -> None:
    """Bytes that a function returns may be anything."""
    broken = Transform(place="m:bytes", function=lambda _: b'{"player_id":"a1",', digest="b")
    shard = Shard(kind, Options(), broken)
    case = Case(name="", payload=record(), s3="not_json", bigquery="not_json")
    with running(kind):
        found = taken(shard, deliver(shard.sink(), chunk_of([case])))
    assert found == expected(kind, [case])


def test_a_line_stays_where_its_record_was() -> None:
    """The name counts records as they were read: a filter does not move it."""
    kind = KINDS[0]
    shard = Shard(kind, USUAL, SCRIPTED)
    some = [Script("a1", TIME, ()), Script("b1", TIME, None), Script("c1", TIME, ())]
    delivered(shard, some)
    backend = shard.backend
    assert isinstance(backend, Bucket)
    assert [put["Key"].endswith(f"{10**20}.1-3.ndjson.gz") for put in backend.puts] == [True]
