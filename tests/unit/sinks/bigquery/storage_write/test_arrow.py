"""The messages that are written by hand, against pyarrow: it reads what was meant."""

from array import array
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows.arrow import (
    Batch,
    Pieces,
    log_batch,
    log_batch_head,
    micros_of,
    schema_of,
)
from consumer.sinks.bigquery.arrow_rows.cells import ArrowWriter
from tests.unit.sinks.bigquery.storage_write.builders import SIMPLE

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.sampled_from(
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.678Z",
        "1969-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00Z",
    ]
)


def read(batch: Batch, schema: bytes) -> Any:
    message = batch.serialize_after(b"")
    assert len(message) == batch.size
    found: Any = pa.ipc.read_record_batch(pa.py_buffer(message), pa.ipc.read_schema(pa.py_buffer(schema)))
    found.validate(full=True)
    return found


@given(names=st.lists(NAMES, unique=True, min_size=len(SIMPLE), max_size=len(SIMPLE)))
def test_the_schema_is_the_one_that_pyarrow_makes(names: list[str]) -> None:
    columns = [msgspec.structs.replace(column, name=name) for column, name in zip(SIMPLE, names, strict=True)]
    made = pa.ipc.read_schema(pa.py_buffer(schema_of(columns)))
    assert made.equals(pa.ipc.read_schema(pa.py_buffer(ArrowWriter(columns).schema)), check_metadata=True)


LOG = [Column("key", "STRING"), Column("time", "TIMESTAMP", "REQUIRED"), Column("log", "JSON")]


@given(rows=st.lists(st.tuples(st.none() | TEXTS, TIMES, TEXTS), max_size=20))
def test_a_batch_is_the_one_that_pyarrow_makes(rows: list[tuple[str | None, str, str]]) -> None:
    keys, times, logs = (
        [key for key, _, _ in rows],
        [time for _, time, _ in rows],
        [log for _, _, log in rows],
    )
    batch = log_batch(keys, array("q", map(micros_of, times)), [log.encode() for log in logs])
    found = read(batch, schema_of(LOG))
    expected = [
        pa.array(keys, pa.string()),
        pa.array(times, pa.string()).cast(pa.timestamp("us", tz="UTC")),
        pa.array(logs, pa.string()),
    ]
    assert found.equals(pa.record_batch(expected, schema=found.schema))


@given(
    rows=st.integers(0, 2**31),
    missing=st.integers(0, 3),
    keys=st.integers(0, 2**31),
    logs=st.integers(0, 2**31),
)
def test_every_buffer_begins_at_a_multiple_of_8(rows: int, missing: int, keys: int, logs: int) -> None:
    head, body_bytes = log_batch_head(rows=rows, missing_keys=missing, key_bytes=keys, log_bytes=logs)
    assert len(head) % 8 == body_bytes % 8 == 0
    assert body_bytes >= 4 * (rows + 1) * 2 + 8 * rows + keys + logs


def test_a_batch_stands_behind_what_comes_before_it() -> None:
    batch = Pieces(b"ab", memoryview(b"c"))
    assert (batch.size, batch.serialize_after(b"head ")) == (3, b"head abc")
