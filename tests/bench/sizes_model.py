"""What an application takes of its workers and of DynamoDB: processors, memory, requests and the time of a start.

CPU time is taken from the committed results of `bin/bench sizes` and `bin/bench idle`. What is asked of DynamoDB
follows from the source of KCL 3.1.3 and of the supervisor, in units of on-demand tables:
https://github.com/awslabs/amazon-kinesis-client/tree/v3.1.3/amazon-kinesis-client/src/main/java/software/amazon/kinesis
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Any

from consumer.daemon.supervise import pause_watch
from consumer.daemon.supervise.heap import LEAST_MIB, MEMORY_SHARE
from consumer.settings import Settings
from tests.bench.host_memory import heap_mib, host_mib

_HOUR = 3600.0
_EPSILON_SECONDS = 0.025
"""LeaseManagementConfig.epsilonMillis: leases are renewed and looked for so much earlier."""
_RENEWALS = 3
"""CommonCalculations: in failoverTimeMillis."""
_DISCOVERIES = 2
"""DynamoDBLeaseCoordinator: queries of the index in leaseAssignmentIntervalMillis, by each worker."""
_LOCK_SECONDS = 30.0
"""DynamoDBLockBasedLeaderDecider: the leader writes its lock, and each other worker looks at it."""
_WATCH_SECONDS, _WATCHED_A_SECOND = 10.0, 50
"""The supervisor's lease_watch: at least a quarter of health.unread_after between two looks, and no more leases in a
second."""

LEASE_BYTES = 400
"""A row of the lease table, with the names of its attributes; INDEXED_BYTES of it are in the index by owners."""
INDEXED_BYTES = 100
METRICS_BYTES = 500
"""A worker's row in the table of loads."""
_READ_UNIT_BYTES = 4096

TABLE_WRITE_UNITS, TABLE_READ_UNITS = 1000, 3000
"""A second, of one partition, which a table has at first:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Seconds between two of something: renewals of a lease, looks of a worker for its leases, assignments by the
    leader, reports of load, reads of a shard."""

    renewal: float
    discovery: float
    assignment: float
    report: float
    read: float

    @classmethod
    def of(cls, settings: Settings) -> "Waits":
        assignment = _seconds(settings, "leaseAssignmentIntervalMillis")
        return cls(
            renewal=_seconds(settings, "failoverTimeMillis") / _RENEWALS - _EPSILON_SECONDS,
            discovery=assignment / _DISCOVERIES - _EPSILON_SECONDS,
            assignment=assignment,
            report=_seconds(settings, "workerMetricsReporterFreqInMillis"),
            read=_seconds(settings, "idleTimeBetweenReadsInMillis"),
        )


def _seconds(settings: Settings, key: str) -> float:
    return settings.integer(key) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of a processor: `worker` and `lease` in each second, for a worker and for a shard that it holds; `read`
    for one GetRecords; `record` for a record beside that; `start_cpu` and `start_cpu_a_shard` for a start, which takes
    `start_wait` more however many there are."""

    worker: float
    lease: float
    read: float
    record: float
    start_cpu: float
    start_cpu_a_shard: float
    start_wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """`rate` is records/s of the whole stream. A shard that records come on makes so many checkpoints in a second, a
    write unit of the lease table each, and takes `kept_units` of a table of the daemon's own."""

    shards: int
    rate: float
    checkpoints: float = 0.0
    kept_units: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    workers: int
    vcpu: float
    memory_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """To DynamoDB, by all workers together in a second; `lease_write_units` are those of the lease table."""

    calls: float
    read_units: float
    write_units: float
    lease_write_units: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`shards` are the most that one worker holds when they are shared evenly; processors and memory are that
    worker's. The memory is the bound of docs/ec2.md, in an outage with answers of 10 MiB."""

    shards: int
    cores: float
    memory_mib: float
    reads: float
    """GetRecords in a second, by all workers."""
    requests: Requests
    start_seconds: float
    """Of all workers at once, under their names from before, until each shard is read."""
    short: tuple[str, ...]
    """What there is not enough of."""


def plan(application: Application, fleet: Fleet, waits: Waits, costs: Costs, settings: Settings) -> Plan:
    """`settings` are for the memory of a shard."""
    shards = math.ceil(application.shards / fleet.workers)
    cores = worker_cores(
        shards=shards, rate=application.rate * shards / application.shards, waits=waits, costs=costs
    )
    heap = heap_mib(shards)
    heap_most = max(LEAST_MIB, int(fleet.memory_mib * MEMORY_SHARE))
    memory = host_mib(settings, heap_mib=heap, shards=shards)
    requests = dynamodb(application, fleet.workers, waits)
    short = {
        "CPU": cores > fleet.vcpu,
        "memory": memory > fleet.memory_mib or heap > heap_most,
        "DynamoDB": requests.lease_write_units > TABLE_WRITE_UNITS or requests.read_units > TABLE_READ_UNITS,
    }
    return Plan(
        shards=shards,
        cores=cores,
        memory_mib=memory,
        reads=application.shards / waits.read,
        requests=requests,
        start_seconds=start_seconds(shards=shards, vcpu=fleet.vcpu, costs=costs),
        short=tuple(name for name, is_short in short.items() if is_short),
    )


def worker_cores(*, shards: int, rate: float, waits: Waits, costs: Costs) -> float:
    """Processors that a worker keeps busy; `rate` is of all its shards together."""
    return costs.worker + shards * (costs.lease + costs.read / waits.read) + rate * costs.record


def start_seconds(*, shards: int, vcpu: float, costs: Costs) -> float:
    """From the start of a JVM until all its shards are read, with leases that are there."""
    return costs.start_wait + (costs.start_cpu + shards * costs.start_cpu_a_shard) / vcpu


def dynamodb(application: Application, workers: int, waits: Waits) -> Requests:
    """Tables are read without consistency, so 4 KB are half a unit; no row that is written has more than a KB, and
    `kept_units` count as a call each."""
    held = math.ceil(application.shards / workers)
    watch = max(_WATCH_SECONDS, application.shards / _WATCHED_A_SECOND)
    reads = (
        # how many a second, units of one
        (workers / waits.discovery, _read_units(held * INDEXED_BYTES)),
        (1 / waits.assignment, _read_units(application.shards * LEASE_BYTES)),
        (1 / waits.assignment, _read_units(workers * METRICS_BYTES)),
        ((workers - 1) / _LOCK_SECONDS, 1.0),
        (workers / pause_watch.SECONDS, _read_units(1)),
        (workers / watch, _read_units(application.shards * LEASE_BYTES)),
    )
    leases = application.shards * (1 / waits.renewal + application.checkpoints)
    writes = leases + application.shards * application.kept_units + workers / waits.report + 1 / _LOCK_SECONDS
    return Requests(
        calls=writes + sum(often for often, _ in reads),
        read_units=sum(often * units for often, units in reads),
        write_units=writes,
        lease_write_units=leases,
    )


def _read_units(size_bytes: int) -> float:
    return math.ceil(size_bytes / _READ_UNIT_BYTES) / 2


def most_shards(fleet: Fleet, rate_a_shard: float, waits: Waits, costs: Costs, settings: Settings) -> int:
    """That one worker of this size carries, if half of its processors stay free to catch up with."""
    shards = 0
    while True:
        application = Application(shards=shards + 1, rate=(shards + 1) * rate_a_shard)
        half = Fleet(workers=1, vcpu=fleet.vcpu / 2, memory_mib=fleet.memory_mib)
        if plan(application, half, waits, costs, settings).short:
            return shards
        shards += 1


def costs(backend: str, *, sizes: Sequence[Mapping[str, Any]], idle: Sequence[Mapping[str, Any]]) -> Costs:
    """From rows of both levels. Shards of many have few records each, and what these cost is the memory that they
    touch for the first time: a record's cost is told by the fewest."""
    worker, lease, read = _idle_costs(idle)
    measured = [row for row in sizes if row["by"] == "measured"]
    fewest = min(row["shards"] for row in measured)
    own = [row for row in measured if row["backend"] == backend and row["shards"] == fewest]
    record = median(row["cpu_seconds_per_million"] / 1e6 - read / row["max_records"] for row in own)
    start_cpu, start_cpu_a_shard, start_wait = _start_costs(measured)
    return Costs(
        worker=worker,
        lease=lease,
        read=read,
        record=record,
        start_cpu=start_cpu,
        start_cpu_a_shard=start_cpu_a_shard,
        start_wait=start_wait,
    )


def _idle_costs(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """Of a worker and of a lease in a second, and of a read: three rows tell three unknowns, that of one shard and two
    of more whose reads are fewer in one of them."""
    one = next(row for row in rows if row["shards"] == 1)
    often = next(row for row in rows if row["shards"] == 16 and row["settings"] == "as shipped")
    seldom = min((row for row in rows if row["shards"] == 16), key=lambda row: row["kinesis_reads_per_hour"])
    reads = often["kinesis_reads_per_hour"] - seldom["kinesis_reads_per_hour"]
    read = (idle_cpu_seconds(often) - idle_cpu_seconds(seldom)) / reads
    rest_of_one, rest = (idle_cpu_seconds(row) - read * row["kinesis_reads_per_hour"] for row in (one, often))
    lease = (rest - rest_of_one) / (often["shards"] - 1)
    return (rest_of_one - lease) / _HOUR, lease / _HOUR, read


def idle_cpu_seconds(row: Mapping[str, Any]) -> float:
    """Of a worker in an hour."""
    parts = ("jvm", "beside", "supervisor")
    return float(sum(row[f"{part}_cpu_seconds_per_hour"] for part in parts))


def _start_costs(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """Of a start and of each shard in it, and what no processor shortens: the line through the starts of the fewest
    shards, by size; those of more shards tell what each adds. The KCL's pauses go by while it is throttled, so what it
    spends by its clock is no measure."""
    fewest = min(row["shards"] for row in rows)
    few = [row for row in rows if row["shards"] == fewest]
    slope, wait = linear_regression([1 / row["vcpu"] for row in few], [row["start_seconds"] for row in few])
    added = [
        ((row["start_seconds"] - wait) * row["vcpu"] - slope) / (row["shards"] - fewest)
        for row in rows
        if row["shards"] > fewest
    ]
    a_shard = max(0.0, median(added)) if added else 0.0
    return slope - fewest * a_shard, a_shard, wait
