"""Objects by the fields of their records: each record in one, under the path that it alone decides about (I2)."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from isal import igzip

from consumer.domain import columns as columns_module
from consumer.domain.chunks import Chunk
from consumer.domain.key_templates import MOST_VALUE_BYTES, NO_VALUE, OVERFLOW, KeyTemplate
from consumer.native import library
from consumer.sinks.s3 import routes as routes_module
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.routes import KeyRoutes
from consumer.sinks.s3.sink import S3Sink
from tests.unit.builders import ARRIVAL_MS, chunk_of, chunk_of_records, record
from tests.unit.sinks.fake_s3 import FakeS3
from tests.unit.sinks.formats import ndjson
from tests.unit.sinks.json_bytes import spelled, values

STEM = "logs-shardId-000000000003"
HOUR_MS = 3_600_000


def sink(
    template: str, *, most: int = 100, native: bool = True, validate_json: bool = True, **options: Any
) -> S3Sink:
    with nullcontext() if native else patch.object(library, "load", lambda: None):
        made = KeyTemplate(template, stream="logs", shard="shardId-000000000003")
        return S3Sink(
            **{
                "client": FakeS3(),
                "bucket": "logs",
                "prefix": "player-log/",
                "key_routes": KeyRoutes(made, most=most, max_depth=500),
                "object_stem": STEM,
                "object_format": ndjson(validate_json=validate_json),
                **options,
            }
        )


def lines_by_path(sink: S3Sink, chunk: Chunk) -> dict[str, list[bytes]]:
    """Paths between the prefix and the name."""
    name = f"/{STEM}-{chunk.name}.ndjson.gz"
    requests = sink.prepare(chunk).requests
    assert len({request.key for request in requests}) == len(requests)
    return {
        request.key.removeprefix("player-log/").removesuffix(name): igzip.decompress(
            request.body
        ).splitlines()
        for request in requests
    }


@pytest.fixture(params=[True, False], ids=["C", "Python"])
def native(request: pytest.FixtureRequest) -> Iterator[bool]:
    with nullcontext() if request.param else patch.object(library, "load", lambda: None):
        yield request.param


@pytest.mark.usefixtures("native")
def test_records_are_sorted_into_objects_by_a_field_and_keep_their_order() -> None:
    payloads = [b'{"t":"a","n":1}', b'{"t":"b","n":2}', b'{"n":3}', b'{"t":"a","n":4}']
    assert lines_by_path(sink("t={t|none}"), chunk_of(payloads)) == {
        "t=a": [payloads[0], payloads[3]],
        "t=b": [payloads[1]],
        "t=none": [payloads[2]],
    }


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("value", "path"),
    [
        ('"action_logs"', "action_logs"),
        (r'"a\/b"', "a%2Fb"),
        (r'"\u0061ction_logs"', "action_logs"),
        ('".."', "%2E."),
        ('""', NO_VALUE),
        ("null", NO_VALUE),
        ("{}", NO_VALUE),
        ('["a"]', NO_VALUE),
        ("17", "17"),
        ("-1.50e+3", "-1.50e%2B3"),
        ("true", "true"),
        (r'"\u0000"', "%00"),
        (r'"\ud83d\ude00"', "%F0%9F%98%80"),
        ('"😀"', "%F0%9F%98%80"),
        (f'"{"x" * 10_240}"', "x" * MOST_VALUE_BYTES),
    ],
)
def test_a_value_is_in_the_key_as_a_reader_of_the_record_sees_it(value: str, path: str) -> None:
    payload = f'{{"n":1, "t" : {value} }}'.encode()
    assert list(lines_by_path(sink("{t}"), chunk_of([payload]))) == [path]


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    "payload",
    [b'{"t":"a","t":"b"}', rb'{"t":"a","\u0074":"b"}', b"[1]", b'"t"', b"nope", b"", b'{"t":"a"', b"1"],
)
def test_what_has_no_value_or_two_has_the_default(payload: bytes) -> None:
    made = sink("{t|none}/{u|none}", validate_json=False)
    assert list(lines_by_path(made, chunk_of([payload]))) == ["none/none"]


@pytest.mark.usefixtures("native")
def test_a_field_that_is_there_twice_takes_nothing_from_the_others() -> None:
    chunk = chunk_of([b'{"a":1,"a":2,"b":3}', b'{"a":1,"b":3,"b":4}'])
    assert list(lines_by_path(sink("{a|x}/{b|y}"), chunk)) == ["1/y", "x/3"]


@pytest.mark.usefixtures("native")
def test_fields_and_times_of_records_make_a_path_together() -> None:
    made = sink(
        "{a}/{b}/{c}/%Y-%m-%dT%H",
        record_times=RecordTimes(time_field="at", time_format="iso8601", max_depth=500),
    )
    payloads = [
        b'{"a":1,"b":2,"c":3,"at":"2020-09-12T00:59:59Z"}',
        b'{"a":1,"b":2,"c":4,"at":"2020-09-12T00:59:59Z"}',
        b'{"a":1,"b":2,"c":3,"at":"2020-09-12T01:00:00Z"}',
        b'{"a":1,"b":2,"c":3}',
        b'{"a":1,"b":2,"c":3,"at":"2020-09-12T00:00:00Z"}',
    ]
    assert lines_by_path(made, chunk_of(payloads)) == {
        "1/2/3/2020-09-12T00": [payloads[0], payloads[4]],
        "1/2/4/2020-09-12T00": [payloads[1]],
        "1/2/3/2020-09-12T01": [payloads[2]],
        "1/2/3/2023-11-14T22": [payloads[3]],
    }


@pytest.mark.usefixtures("native")
def test_paths_beyond_the_limit_of_a_chunk_are_one() -> None:
    payloads = [b'{"t":"%d"}' % number for number in (1, 2, 1, 3, 4, 2, 3)]
    assert lines_by_path(sink("t={t}/%Y", most=2), chunk_of(payloads)) == {
        "t=1/2023": [payloads[0], payloads[2]],
        "t=2/2023": [payloads[1], payloads[5]],
        f"t={OVERFLOW}/2023": [payloads[3], payloads[4], payloads[6]],
    }


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("most", [1, 2])
def test_the_path_of_the_overflow_may_be_one_that_a_record_has(most: int) -> None:
    payloads = [b'{"t":"%b"}' % value for value in (OVERFLOW.encode(), b"a", b"b", OVERFLOW.encode())]
    made = lines_by_path(sink("{t}", most=most), chunk_of(payloads))
    assert made[OVERFLOW] == [each for each in payloads if most == 1 or each != payloads[1]]
    assert sum(map(len, made.values())) == 4


def test_the_times_that_records_choose_are_limited_too() -> None:
    made = sink(
        "%Y/%m/%d/%H",
        most=3,
        record_times=RecordTimes(time_field="at", time_format="iso8601", max_depth=500),
    )
    chunk = chunk_of([b'{"at":"%d-09-12T00:59:59Z"}' % year for year in range(1971, 2021)])
    assert len(lines_by_path(made, chunk)) == 4


records = st.lists(
    st.tuples(
        st.one_of(
            spelled(values).map(lambda value: b'{"t":%b}' % value),
            st.sampled_from(
                [b'{"t":"a"}', b'{"t":"b"}', b'{"t":1}', rb'{"t":"\u0061"}', b'{"t":{}}', b"nope"]
            ),
        ),
        st.integers(0, 2 * HOUR_MS),
    ),
    min_size=1,
    max_size=30,
)


@given(chosen=records, most=st.integers(1, 4), part=st.integers(1, 7), groups=st.integers(1, 6))
@example(chosen=[(b'{"t":"a"}', 0), (rb'{"t":"\u0061"}', 0)], most=1, part=1, groups=1)
@example(chosen=[(rb'{"t":"\u0063"}', 0), (b'{"t":"a"}', 0)], most=1, part=1, groups=1)
def test_I2_each_record_is_in_one_object_and_which_is_the_same_with_c_and_without(
    chosen: Sequence[tuple[bytes, int]], most: int, part: int, groups: int
) -> None:
    chunk = chunk_of_records(
        [
            record(data, sequence=str(place + 1), arrival_ms=ARRIVAL_MS + later)
            for place, (data, later) in enumerate(chosen)
        ]
    )
    with patch.object(routes_module, "_MOST_GROUPS", groups):
        first = sink("{t}/%H", most=most).prepare(chunk)
    with patch.object(library, "load", lambda: None):
        second = sink("{t}/%H", most=most, native=False).prepare(chunk)
    assert [(each.key, bytes(each.body)) for each in first.requests] == [
        (each.key, bytes(each.body)) for each in second.requests
    ]
    assert len(first.requests) <= most + 1
    assert sum(each.records for each in first.requests) == len(chosen) - len(first.rejections)
    with patch.object(columns_module, "PART_RECORDS", part):
        other = sink("{t}/%H", most=most).prepare(chunk_of_records(list(chunk.records)))
    assert [each.key for each in other.requests] == [each.key for each in first.requests]
    assert [igzip.decompress(each.body) for each in other.requests] == [
        igzip.decompress(each.body) for each in first.requests
    ]


HOSTILE = st.one_of(
    values,
    st.text("./=%_-\\\0 é😀?#&+*'\"", max_size=40),
    st.sampled_from(
        ["", ".", "..", "../../etc/passwd", "/", "a//b", "k=v", "\0", "é" * 10_240, "/" * 10_240, OVERFLOW]
    ),
)


@pytest.mark.usefixtures("native")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spelled(HOSTILE), spelled(HOSTILE))
def test_whatever_a_field_holds_its_object_lies_under_the_prefix_and_reads_back(
    first: bytes, second: bytes
) -> None:
    """As far as a value goes into a key: text, number or truth, and the default in place of anything else."""
    payload = b'{"a":%b,"b":%b}' % (first, second)
    chunk = chunk_of([payload])
    prepared = sink("a={a|none}/{b|none}/%Y", validate_json=False).prepare(chunk)
    [request] = prepared.requests
    shape = re.fullmatch(rf"player-log/a=([^/]+)/([^/]+)/2023/{STEM}-{chunk.name}\.ndjson\.gz", request.key)
    assert shape is not None
    assert len(request.key) <= 1024
    for part, text in zip(shape.groups(), (first, second), strict=True):
        assert re.fullmatch(r"(?!\.)(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})+", part)
        value = json.loads(text)
        match value:
            case None | "" | list() | dict():
                told = "none"
            case str():
                told = value.encode("utf-8", "replace").decode()
            case _:
                told = text.strip().decode()
        assert told.startswith(unquote(part, errors="strict"))
        assert unquote(part) == told or len(part) > MOST_VALUE_BYTES - 12


def test_a_record_has_its_own_path_whatever_stands_beside_it() -> None:
    payloads = [json.dumps({"t": f"type {number % 7}", "n": number}).encode() for number in range(1500)]
    together = lines_by_path(sink("{t}"), chunk_of(payloads))
    for payload in payloads[:20]:
        (path,) = lines_by_path(sink("{t}"), chunk_of([payload]))
        assert payload in together[path]
