"""The model of sizes against what was measured; and in itself, where more of anything never needs less."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.local.aws.item_sizes import item_bytes
from consumer.settings import PROJECT_ROOT
from tests.bench.sizes_level import SHARDS
from tests.bench.sizes_model import (
    INDEXED_BYTES,
    LEASE_BYTES,
    TABLE_READ_UNITS,
    TABLE_WRITE_UNITS,
    Application,
    Costs,
    Fleet,
    Plan,
    Waits,
    costs,
    dynamodb,
    idle_cpu_seconds,
    most_shards,
    plan,
    start_seconds,
    worker_cores,
)
from tests.bench.sizes_report import BACKENDS, costs_of, rows_of, settings_of, waits_of

HOUR = 3600
KEPT_UP = 0.7
"""Of the reads that were due, where the embedded Kinesis had time for its worker."""
CLOSE = 1.4
"""Factor between the model and what was measured."""
COLD = 2.0
"""The same for JVMs in their first minute, which compile."""

S3 = settings_of("s3")
WAITS = waits_of("s3")
COSTS = Costs(
    worker=0.03,
    lease=0.002,
    read=0.003,
    record=16e-6,
    start_cpu=2.0,
    start_cpu_a_shard=0.05,
    start_wait=1.5,
)
IDLE = rows_of("idle")
MEASURED = [row for row in rows_of("sizes") if row["by"] == "measured"]
WORKERS = [row for row in rows_of("workers") if row["workers"]]

shards = st.integers(1, 5000)
workers = st.integers(1, 500)
rates = st.floats(0, 1e6)
vcpus = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 16.0])
memories = st.integers(512, 120 * 1024)


def waits(**millis: int) -> Waits:
    return Waits.of(dataclasses.replace(S3, values={**S3.values, **millis}))


def waits_of_row(row: dict[str, Any]) -> Waits:
    """As the settings that the row names have them."""
    pairs = (pair.partition(" = ") for pair in row["settings"].split(", ") if "=" in pair)
    return waits(**{key: int(value) for key, _, value in pairs})


def named(row: dict[str, Any]) -> str:
    return f"{row['shards']}, {row.get('settings') or row.get('event')}"


def planned(application: Application, fleet: Fleet) -> Plan:
    return plan(application, fleet, WAITS, COSTS, S3)


@pytest.mark.parametrize("row", IDLE, ids=named)
def test_a_quiet_worker_takes_what_the_model_says(row: dict[str, Any]) -> None:
    its_waits = waits_of_row(row)
    asked = dynamodb(Application(shards=row["shards"], rate=0.0), 1, its_waits)
    cores = worker_cores(shards=row["shards"], rate=0.0, waits=its_waits, costs=costs_of("s3"))
    kept_up = row["kinesis_reads_per_hour"] / (row["shards"] / its_waits.read * HOUR)
    for said, measured in (
        (asked.read_units * HOUR, row["dynamodb_read_units_per_hour"]),
        (asked.write_units * HOUR, row["dynamodb_write_units_per_hour"]),
        (cores * HOUR, idle_cpu_seconds(row)),
    ):
        assert measured <= 1.15 * said, "a machine without time for its worker makes all of it less"
        if kept_up > KEPT_UP:
            assert said <= CLOSE * measured


def test_some_of_the_quiet_workers_were_on_a_machine_that_had_time_for_them() -> None:
    due = [row["shards"] / waits_of_row(row).read * HOUR for row in IDLE]
    assert (
        sum(row["kinesis_reads_per_hour"] > KEPT_UP * reads for row, reads in zip(IDLE, due, strict=True))
        >= 4
    )


@pytest.mark.parametrize("row", WORKERS, ids=named)
def test_workers_that_share_shards_take_what_the_model_says(row: dict[str, Any]) -> None:
    """bin/bench workers reads each shard in two seconds; its columns leave supervisors out."""
    said = row["workers"] * worker_cores(
        shards=row["shards"] // row["workers"],
        rate=row["records_per_second"] / row["workers"],
        waits=waits(idleTimeBetweenReadsInMillis=2000),
        costs=costs_of("s3"),
    )
    assert said / CLOSE <= row["cores"] <= COLD * said


def size(row: dict[str, Any]) -> str:
    return f"{row['vcpu']}, {row['backend']}, {row['shards']}"


@pytest.mark.parametrize("row", [row for row in MEASURED if row["shards"] == SHARDS], ids=size)
def test_a_worker_carries_what_the_model_says(row: dict[str, Any]) -> None:
    own = costs_of(row["backend"])
    rest = row["vcpu"] - own.worker - row["shards"] * own.lease
    said = rest / (own.record + own.read / row["max_records"])
    assert said / CLOSE <= row["records_per_second"] <= CLOSE * said


@pytest.mark.parametrize("row", MEASURED, ids=size)
def test_a_worker_reads_its_shards_when_the_model_says(row: dict[str, Any]) -> None:
    start = start_seconds(shards=row["shards"], vcpu=row["vcpu"], costs=costs_of(row["backend"]))
    assert start / CLOSE <= row["start_seconds"] <= CLOSE * start


def test_costs_are_told_by_three_quiet_workers() -> None:
    """Made of 90 CPU s an hour for a worker, 6 for a shard and 3 ms for a read."""

    def quiet(shards: int, reads: int, settings: str) -> dict[str, Any]:
        spent = 90 + 6 * shards + 0.003 * reads
        return {
            "shards": shards,
            "settings": settings,
            "jvm_cpu_seconds_per_hour": spent - 20,
            "beside_cpu_seconds_per_hour": 12,
            "supervisor_cpu_seconds_per_hour": 8,
            "kinesis_reads_per_hour": reads,
        }

    idle = [quiet(1, 3600, "as shipped"), quiet(16, 57_600, "as shipped"), quiet(16, 11_520, "5000")]
    sizes = [
        {
            "backend": "s3",
            "by": "measured",
            "vcpu": vcpu,
            "shards": shards,
            "max_records": 1000,
            "cpu_seconds_per_million": 19.0,
            "start_seconds": 1.0 + (2.2 + 0.05 * shards) / vcpu,
        }
        for vcpu, shards in ((0.25, 16), (0.5, 16), (1.0, 16), (0.5, 64), (1.0, 64))
    ]
    found = costs("s3", sizes=sizes, idle=idle)
    assert dataclasses.asdict(found) == pytest.approx(
        {
            "worker": 90 / HOUR,
            "lease": 6 / HOUR,
            "read": 0.003,
            "record": 16e-6,
            "start_cpu": 2.2,
            "start_cpu_a_shard": 0.05,
            "start_wait": 1.0,
        }
    )


def test_a_lease_is_as_large_as_the_model_says() -> None:
    """By the names of KCL 3.1.3 (DynamoDBLeaseSerializer), with a checkpoint and keys of full length."""
    indexed = {"leaseKey": {"S": "shardId-000000000000"}, "leaseOwner": {"S": "bigquery-ip-10-0-0-1.example"}}
    lease: dict[str, dict[str, Any]] = {
        **indexed,
        "leaseCounter": {"N": "1000000"},
        "checkpoint": {"S": "4" * 56},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "startingHashKey": {"S": "1" * 39},
        "endingHashKey": {"S": "1" * 39},
        "throughputKBps": {"N": "123.456789"},
        "parentShardId": {"SS": ["shardId-000000000000"]},
    }
    assert LEASE_BYTES / CLOSE < item_bytes(lease) <= LEASE_BYTES
    assert item_bytes(indexed) <= INDEXED_BYTES


def test_what_dynamodb_is_asked_by_a_thousand_shards_and_forty_workers() -> None:
    found = dynamodb(Application(shards=1000, rate=0.0), 40, WAITS)
    reads = (
        40 / 0.975 * 0.5  # 25 keys in the index
        + 1000 * LEASE_BYTES / 4096 / 2 / 2  # the leader
        + 40 * 500 / 4096 / 2 / 2  # loads
        + 39 / 30
        + 40 / 2 / 2  # the flag of a pause
        + 40 / 20 * 1000 * LEASE_BYTES / 4096 / 2  # each supervisor's look at all leases
    )
    assert found.write_units == pytest.approx(1000 / 3.308 + 4 + 1 / 30, rel=0.001)
    assert found.read_units == pytest.approx(reads, rel=0.02)
    assert found.calls == pytest.approx(found.write_units + 40 / 0.975 + 0.5 + 0.5 + 1.3 + 20 + 2, rel=0.001)


def test_a_plan_is_for_the_worker_with_the_most_shards() -> None:
    found = planned(Application(shards=3, rate=300), Fleet(workers=2, vcpu=1, memory_mib=8192))
    assert found.shards == 2
    assert found.cores == worker_cores(shards=2, rate=200, waits=WAITS, costs=COSTS)
    assert found.start_seconds == start_seconds(shards=2, vcpu=1, costs=COSTS)


def test_what_is_short_is_named() -> None:
    roomy = Fleet(workers=1, vcpu=4, memory_mib=64 * 1024)
    assert planned(Application(shards=16, rate=16_000), roomy).short == ()
    assert planned(Application(shards=16, rate=300_000), roomy).short == ("CPU",)
    assert planned(
        Application(shards=16, rate=16_000), dataclasses.replace(roomy, memory_mib=2048)
    ).short == ("memory",)
    kept = Application(shards=16, rate=0, kept_units=TABLE_WRITE_UNITS)
    assert planned(kept, roomy).short == (), "of another table"
    checkpoints = Application(shards=16, rate=0, checkpoints=TABLE_WRITE_UNITS / 16)
    assert planned(checkpoints, roomy).short == ("DynamoDB",)
    many = Application(shards=20_000, rate=0)
    assert dynamodb(many, 2000, WAITS).read_units > TABLE_READ_UNITS
    assert "DynamoDB" in planned(many, dataclasses.replace(roomy, workers=2000)).short


def test_a_heap_that_may_not_grow_to_what_lagging_shards_need_is_short_of_memory() -> None:
    """Two fifths of 2 GiB are 819 MiB; six shards of BigQuery's want 848."""
    settings = settings_of("insert_all")
    fleet = Fleet(workers=1, vcpu=4, memory_mib=2048)
    found = plan(Application(shards=6, rate=0), fleet, WAITS, COSTS, settings)
    assert found.memory_mib <= 2048 + 1
    assert found.short == ("memory",)


@given(shards, workers, rates, vcpus, memories, st.data())
def test_more_shards_or_records_never_need_less(
    count: int, number: int, rate: float, vcpu: float, memory_mib: int, data: st.DataObject
) -> None:
    fleet = Fleet(workers=number, vcpu=vcpu, memory_mib=memory_mib)
    few = planned(Application(shards=count, rate=rate), fleet)
    more_shards = count + data.draw(st.integers(0, 5000))
    more_rate = rate * more_shards / count + data.draw(rates)
    many = planned(Application(shards=more_shards, rate=more_rate, checkpoints=1.0, kept_units=1.0), fleet)
    assert many.shards >= few.shards
    assert many.cores >= few.cores * (1 - 1e-9)
    assert many.memory_mib >= few.memory_mib
    assert many.start_seconds >= few.start_seconds
    assert many.requests.calls >= few.requests.write_units
    assert many.requests.write_units >= few.requests.write_units
    assert many.reads >= few.reads


@given(shards, workers, rates, vcpus, memories, vcpus, st.integers(0, 120 * 1024))
def test_larger_workers_are_never_short_of_what_smaller_ones_have_enough_of(
    count: int, number: int, rate: float, vcpu: float, memory_mib: int, other_vcpu: float, more_mib: int
) -> None:
    application = Application(shards=count, rate=rate)
    small = planned(application, Fleet(workers=number, vcpu=vcpu, memory_mib=memory_mib))
    large = planned(
        application, Fleet(workers=number, vcpu=max(vcpu, other_vcpu), memory_mib=memory_mib + more_mib)
    )
    assert set(large.short) <= set(small.short)
    assert large.start_seconds <= small.start_seconds


@given(shards, workers, rates, vcpus, memories, workers)
def test_more_workers_have_less_to_do_each(
    count: int, number: int, rate: float, vcpu: float, memory_mib: int, more: int
) -> None:
    application = Application(shards=count, rate=rate)
    few = planned(application, Fleet(workers=number, vcpu=vcpu, memory_mib=memory_mib))
    many = planned(application, Fleet(workers=number + more, vcpu=vcpu, memory_mib=memory_mib))
    assert set(many.short) - {"DynamoDB"} <= set(few.short)
    assert many.cores <= few.cores
    assert many.requests.write_units >= few.requests.write_units


@given(vcpus, memories, vcpus, memories, st.floats(0, 5000))
def test_the_most_shards_fit_and_one_more_does_not(
    vcpu: float, memory_mib: int, more_vcpu: float, more_mib: int, rate: float
) -> None:
    fleet = Fleet(workers=1, vcpu=vcpu, memory_mib=memory_mib)
    most = most_shards(fleet, rate, WAITS, COSTS, S3)
    half = dataclasses.replace(fleet, vcpu=vcpu / 2)
    assert planned(Application(shards=most + 1, rate=(most + 1) * rate), half).short
    if most:
        assert not planned(Application(shards=most, rate=most * rate), half).short
    larger = Fleet(workers=1, vcpu=max(vcpu, more_vcpu), memory_mib=memory_mib + more_mib)
    assert most_shards(larger, rate, WAITS, COSTS, S3) >= most


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_task_as_shipped_carries_what_the_guide_says_of_two_gibibytes(backend: str) -> None:
    task = json.loads((PROJECT_ROOT / "deploy/ecs" / f"{BACKENDS[backend]}.task.json").read_bytes())
    fleet = Fleet(workers=1, vcpu=int(task["cpu"]) / 1024, memory_mib=int(task["memory"]))
    most = most_shards(fleet, 1000, waits_of(backend), costs_of(backend), settings_of(backend))
    assert most == 5
    assert "carry up to 5 shards" in (PROJECT_ROOT / "docs/ecs.md").read_text()
