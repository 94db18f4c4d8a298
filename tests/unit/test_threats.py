"""What docs/security.md says of an attacker who can put records, as properties over whatever a record can hold."""

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from consumer.domain.dead_letters import Rejection
from consumer.domain.routing import table_name, table_names, table_suffix
from consumer.settings import SettingsError, load
from consumer.settings.table import SETTINGS
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink
from consumer.sinks.s3.record_times import RecordTimes
from consumer.sinks.s3.sink import S3Sink
from tests.unit.builders import chunk_of_records, record
from tests.unit.sinks.fake_s3 import FakeS3
from tests.unit.sinks.formats import ndjson

STEM = "logs-shardId-000000000003"
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
arrivals = st.integers(0, 253_402_300_799_999)
"""Milliseconds to the end of the year 9999."""


@given(time=anything, key=anything, partition_key=st.text(), arrival_ms=arrivals, own=st.booleans())
@example(time="../../x", key="../x", partition_key="../../x", arrival_ms=0, own=True)
@example(time="0001-01-01T00:00:00+14:00", key=None, partition_key="\n", arrival_ms=0, own=True)
def test_no_record_takes_an_object_out_of_its_prefix(
    time: Any, key: Any, partition_key: str, arrival_ms: int, own: bool
) -> None:
    payload = json.dumps({"player_id": key, "time": time}).encode()
    chunk = chunk_of_records([record(payload, key=partition_key, arrival_ms=arrival_ms)])
    sink = S3Sink(
        client=FakeS3(),
        bucket="bucket",
        prefix="player-log/",
        partition="dt=%Y-%m-%d/hour=%H",
        object_stem=STEM,
        object_format=ndjson(validate_json=False),
        record_times=RecordTimes(time_field="time", time_format="iso8601", max_depth=500) if own else None,
    )
    for request in sink.prepare(chunk).requests:
        assert re.fullmatch(
            rf"player-log/dt=\d{{4}}-\d\d-\d\d/hour=\d\d/{STEM}-1-1\.ndjson\.gz", request.key, re.ASCII
        )


@given(data=st.binary(max_size=50), partition_key=st.text(st.characters(codec="utf-8")), arrival_ms=arrivals)
def test_a_dead_letter_is_one_line_under_its_prefix_whatever_the_record_holds(
    data: bytes, partition_key: str, arrival_ms: int
) -> None:
    client = FakeS3()
    place = DeadLetterPlace(
        bucket="bucket", prefix="deadletter/", application="app", stream="logs", shard="shardId-000000000003"
    )
    chunk = chunk_of_records([record(data, key=partition_key, arrival_ms=arrival_ms)])
    DeadLetterSink(place, lambda: client).write(chunk, [Rejection(0, "not_json", partition_key)])
    ((key, body),) = client.bodies.items()
    assert re.fullmatch(rf"deadletter/app/dt=\d{{4}}-\d\d-\d\d/{STEM}-1-1\.ndjson\.gz", key, re.ASCII)
    assert body.count(b"\n") == 1
    assert json.loads(body)["partition_key"] == partition_key


@given(key=anything, digits=st.integers(0, 2))
def test_no_record_chooses_a_table_that_was_not_made(key: Any, digits: int) -> None:
    suffix = table_suffix(key, digits)
    assert suffix is None or table_name("player_log", suffix) in table_names("player_log", digits)


@given(template=st.text(st.sampled_from("%YmdHMj-/=._ ab\\\n:'\"?*"), max_size=12), arrival_ms=arrivals)
@example(template="..", arrival_ms=0)
@example(template="a/../..", arrival_ms=0)
def test_no_template_that_the_checker_takes_leaves_the_prefix(template: str, arrival_ms: int) -> None:
    try:
        settings = load("s3", overrides={"s3.bucket": "bucket", "s3.partition": template})
    except SettingsError:
        return
    sink = S3Sink(
        client=FakeS3(),
        bucket="bucket",
        prefix="player-log/",
        partition=settings.text("s3.partition"),
        object_stem=STEM,
        object_format=ndjson(),
    )
    (request,) = sink.prepare(chunk_of_records([record(b"{}", arrival_ms=arrival_ms)])).requests
    parts = request.key.split("/")
    assert parts[0] == "player-log"
    assert parts[-1] == f"{STEM}-1-1.ndjson.gz"
    assert not {"", ".", ".."} & set(parts)


def test_no_setting_of_ours_holds_a_secret_and_health_is_served_to_this_host_only() -> None:
    assert not [name for name in SETTINGS if re.search("secret|password|token|access_key", name)]
    assert SETTINGS["http.host"].default == "127.0.0.1"
