"""How runs of the real KCL become rows, and what makes a run void."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from consumer.domain.events import Event, LogEvent, StatusEvent, encode
from consumer.local.child import ROOT
from tests.bench.arrivals import Acknowledged
from tests.bench.jvm_profile import thread_table
from tests.bench.kcl import BenchError
from tests.bench.kcl_level import CHILDREN, cases, compared, rows
from tests.bench.kcl_run import ACKNOWLEDGES, KclCase, KclRun
from tests.bench.report import report
from tests.bench.shard_events import ShardEvents, listening
from tests.bench.usage import TreeTime

RECORDS = 1_000_000
MACHINE = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}


def case(child: str, shards: int = 2) -> KclCase:
    return KclCase(shards=shards, child=child, records=RECORDS, warm_up=1000, max_records=4000)


def a_run(jvm_seconds: float, shards_seconds: float) -> KclRun:
    return KclRun(RECORDS, 10.0, TreeTime(jvm_seconds, shards_seconds), TreeTime(9.0, 1.0), 2**29)


def test_every_number_of_shards_is_measured_with_every_child() -> None:
    made = cases([1, 16], records=RECORDS, max_records=None, wire="cbor")
    assert [(each.shards, each.child) for each in made] == [(n, child) for n in (1, 16) for child in CHILDREN]


def test_a_shard_without_records_is_refused() -> None:
    with pytest.raises(BenchError, match="15 records are too few for 16 shards"):
        cases([1, 16], records=15, max_records=None, wire="cbor")


def test_many_shards_have_records_enough_each() -> None:
    made = {
        each.shards: each.records for each in cases([1, 8, 16], records=None, max_records=None, wire="cbor")
    }
    assert made == {1: 400_000, 8: 400_000, 16: 800_000}


def test_answers_are_as_large_as_production_takes_them_unless_told() -> None:
    production = (ROOT / "properties" / "s3.properties").read_text()
    [usual, *_] = cases([1], records=None, max_records=None, wire="cbor")
    assert f"\nmaxRecords = {usual.max_records}\n" in production
    [told, *_] = cases([1], records=None, max_records=10_000, wire="cbor")
    assert told.script.batch_records == 10_000


def test_records_are_shared_among_the_shards() -> None:
    script = case("s3", shards=16).script
    assert (script.shards, script.measured, script.warm_up) == (16, RECORDS // 16, 1000 // 16)


def test_the_ratio_is_to_the_child_that_only_acknowledges_as_many_shards() -> None:
    made = rows(
        {
            case(ACKNOWLEDGES): [a_run(99.0, 1.0), a_run(20.0, 0.0), a_run(20.0, 1.0)],
            case("s3"): [a_run(22.0, 5.0), a_run(21.0, 5.0), a_run(19.0, 8.0)],
            case("s3", shards=4): [a_run(20.0, 5.0)],
        }
    )
    assert [row["cpu_seconds_per_million"] for row in made] == [20.0, 26.0, 25.0]
    assert [row["ratio"] for row in made] == [1.0, 1.3, None]
    assert (made[1]["jvm_cpu_seconds_per_million"], made[1]["shards_cpu_seconds_per_million"]) == (21.0, 5.0)
    assert (made[1]["records_per_second"], made[1]["jvm_peak_rss_mib"]) == (100_000, 512.0)


def test_what_the_start_costs_is_more_than_its_records_cost_a_warm_jvm() -> None:
    half = replace(case("s3"), warm_up=RECORDS // 2)
    [row] = rows({half: [a_run(4.0, 5.0)]})
    assert (row["jvm_start_cpu_seconds"], row["jvm_warming_cpu_seconds"]) == (9.0, 7.0)


def test_the_result_becomes_a_table() -> None:
    made = rows({case("s3"): [a_run(20.0, 5.0)]})
    text = report({"level": "kcl", "command": "bin/bench kcl", "runs": 1, "machine": MACHINE, "rows": made})
    assert "| 2 | s3 | cbor | 4,000 | 20.0 | 5.0 | 25.0 | – |" in text


def test_each_side_is_compared_with_the_usual_settings_pair_by_pair() -> None:
    usual, small = (
        each
        for each in cases(
            [2], records=RECORDS, max_records=None, wire="cbor", against=[["jvm.heap=1GiB", "a.b=c=d"]]
        )
        if each.child == "s3"
    )
    assert dict(small.settings) == {"jvm.heap": "1GiB", "a.b": "c=d"}
    made = compared(
        {
            usual: [a_run(20.0, 5.0), a_run(40.0, 10.0), a_run(20.0, 5.0)],
            small: [a_run(15.0, 5.0), a_run(35.0, 10.0), a_run(30.0, 5.0)],
        }
    )
    assert [(row["settings"], row["ratio"]) for row in made] == [
        ("as they are", 1.0),
        ("jvm.heap=1GiB, a.b=c=d", 0.9),
    ]
    assert (made[1]["cpu_seconds_per_million"], made[1]["jvm_peak_rss_mib"]) == (35.0, 512.0)
    text = report({"level": "kcl", "command": "bin/bench kcl", "runs": 3, "machine": MACHINE, "rows": made})
    assert "| 2 | s3 | jvm.heap=1GiB, a.b=c=d | 0.9 | 35.0 |" in text


def test_the_stub_gives_as_many_records_as_a_side_asks_for() -> None:
    made = cases([1], records=None, max_records=None, wire="cbor", against=[["maxRecords=1000"]])
    assert {each.max_records for each in made if each.settings} == {1000}


def test_a_side_that_sets_nothing_is_refused() -> None:
    with pytest.raises(BenchError, match=r"--against jvm\.heap: not key=value"):
        cases([1], records=None, max_records=None, wire="cbor", against=[["jvm.heap"]])


def test_threads_are_told_by_what_they_took() -> None:
    assert thread_table({"a": 1.0, "b": 22.5, "idle": 0.001}) == "   22.50  b\n    1.00  a"


def test_acknowledged_records_are_counted_message_by_message(tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    acknowledged = Acknowledged(counts)
    assert acknowledged.records() == 0
    counts.write_text("0\n4000\n17\n")
    acknowledged.check(4017, 0)
    with pytest.raises(BenchError, match="4017 of 4018 records were acknowledged"):
        acknowledged.check(4018, 0)


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as short:  # pytest's own is too long a path for a socket
        yield Path(short)


@pytest.fixture
def events(folder: Path) -> Iterator[ShardEvents]:
    with listening(folder / "events") as made:
        yield made


def send(folder: Path, event: Event) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(encode(event), str(folder / "events"))


def test_an_error_of_a_shard_process_voids_the_run(folder: Path, events: ShardEvents) -> None:
    send(folder, LogEvent(level="INFO", shard="shardId-1", pid=1, message="started"))
    events.check()
    send(folder, LogEvent(level="ERROR", shard="shardId-1", pid=1, message="no such bucket"))
    with pytest.raises(BenchError, match="shardId-1: no such bucket"):
        events.check()


def test_what_a_shard_waits_for_is_remembered(folder: Path, events: ShardEvents) -> None:
    send(folder, StatusEvent(shard="shardId-1", pid=1, state="running", retrying="503"))
    send(folder, StatusEvent(shard="shardId-2", pid=2, state="running", retrying="503", held="too many"))
    events.check()
    assert events.troubles == {"shardId-1": "503", "shardId-2": "too many"}
    send(folder, StatusEvent(shard="shardId-1", pid=1, state="running"))
    events.check()
    assert events.troubles["shardId-1"] == ""
