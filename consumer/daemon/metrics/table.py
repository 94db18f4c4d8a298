"""The one table of metrics: what each is called, what it means, and how it is read off the daemon's status.

docs/metrics.md is made from it, and whatever names a metric elsewhere (alarms, dashboards) is checked against it. Every
series carries the labels `application` and `backend`. Names follow Prometheus: base units, counters end in `_total`.
They are the same in all three forms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from consumer.daemon.report.health import State
from consumer.daemon.report.pressure import Pressure
from consumer.daemon.report.status import ShardReport, Status
from consumer.domain.unread_times import COUNTER as TIMES_UNREAD
from consumer.settings.table import Backend

type Kind = Literal["gauge", "counter", "histogram"]

COMMON_LABELS = ("application", "backend")
SHARD = "shard"
RETRY_CLASSES = ("transient", "throttled", "setup")
_BURIED_FOR = "dead_letters_"


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's value: counts by bucket of `consumer.domain.latency`, each alone, and the sum of what was
    counted."""

    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One series: the values of its metric's labels, and its own. A counter began at zero at `since`, in seconds since
    the epoch; None stands for the daemon's start."""

    labels: tuple[str, ...]
    value: float | Buckets
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What metrics are read off. `memory` is resident bytes by kind of process."""

    status: Status
    version: str
    method: str
    memory: Mapping[str, int] = field(default_factory=dict)
    failed_pushes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row. `labels` are those beside the common ones; `source` says who counts or measures it."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    source: str
    read: Callable[[Snapshot], Iterable[Sample]]
    labels: tuple[str, ...] = ()

    @property
    def of_shard(self) -> bool:
        """Whether it has a series for each shard."""
        return SHARD in self.labels


_STATUS = "shard processes, once a second"
_SUPERVISOR = "supervisor"


def _one(value: float | None) -> list[Sample]:
    return [] if value is None else [Sample((), value)]


def _counted(*names: str, backend: Backend | None = None) -> Callable[[Snapshot], list[Sample]]:
    """The sum of counters of all shard processes, by their names in the status."""

    def read(snapshot: Snapshot) -> list[Sample]:
        if backend not in (None, snapshot.status.identity.backend):
            return []
        return _one(sum(snapshot.status.totals.counters[name] for name in names))

    return read


def _of_all(value: Callable[[ShardReport], float]) -> Callable[[Snapshot], list[Sample]]:
    return lambda snapshot: _one(sum(value(shard) for shard in snapshot.status.shards))


def _of_each(
    value: Callable[[ShardReport], float | None], *, counts: bool = False
) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample a shard, where it has a value; what `counts` began with its process."""

    def read(snapshot: Snapshot) -> Iterator[Sample]:
        for shard in snapshot.status.shards:
            found = value(shard)
            if found is not None:
                yield Sample((shard.shard,), found, shard.started_ms / 1000 if counts else None)

    return read


def _retries(snapshot: Snapshot) -> Iterator[Sample]:
    counters = snapshot.status.totals.counters
    return (Sample((name,), counters[f"retries_{name}"]) for name in RETRY_CLASSES)


def _dead_letters_by_reason(snapshot: Snapshot) -> Iterator[Sample]:
    for name, count in sorted(snapshot.status.totals.counters.items()):
        if name.startswith(_BURIED_FOR):
            yield Sample((name.removeprefix(_BURIED_FOR),), count)


def _latency(snapshot: Snapshot) -> list[Sample]:
    totals = snapshot.status.totals
    return [Sample((), Buckets(tuple(totals.latency_counts), totals.latency_sum_seconds))]


def _behind_latest(snapshot: Snapshot) -> list[Sample]:
    behind = [shard.behind_latest_seconds for shard in snapshot.status.shards]
    return _one(max((seconds for seconds in behind if seconds is not None), default=None))


def _pressure(snapshot: Snapshot) -> Iterator[Sample]:
    word = Pressure.of(snapshot.status.back_pressure_share or 0.0)
    return (Sample((each.value,), float(each is word)) for each in Pressure)


def _state(snapshot: Snapshot) -> Iterator[Sample]:
    state = snapshot.status.health.state
    return (Sample((each.value,), float(each is state)) for each in State)


def _shard_state(snapshot: Snapshot) -> Iterator[Sample]:
    return (Sample((shard.shard, shard.condition.value), 1.0) for shard in snapshot.status.shards)


def _memory(snapshot: Snapshot) -> Iterator[Sample]:
    return (Sample((kind,), resident) for kind, resident in snapshot.memory.items())


def _build(snapshot: Snapshot) -> list[Sample]:
    worker = snapshot.status.identity.worker_id
    return [Sample((snapshot.version, snapshot.method, worker), 1.0)]


METRICS: tuple[Metric, ...] = (
    Metric(
        name="consumer_freshness_seconds",
        kind="gauge",
        unit="s",
        meaning="age of the oldest record that was read and is not durable yet, or, where all is, how far reading is"
        " behind; of the shard that is furthest behind, and missing in a worker without shards. Take the maximum over"
        " workers, never the average",
        source=_STATUS,
        read=lambda snapshot: _one(snapshot.status.freshness_seconds),
    ),
    Metric(
        name="consumer_behind_latest_seconds",
        kind="gauge",
        unit="s",
        meaning="how far reading is behind the tip of the stream (millisBehindLatest), of the shard that is furthest"
        " behind",
        source="Kinesis, at the last read",
        read=_behind_latest,
    ),
    Metric(
        name="consumer_records_read_total",
        kind="counter",
        unit="{record}",
        meaning="records that the KCL has given to shard processes; those that are read once more count once more",
        source=_STATUS,
        read=_counted("records_read"),
    ),
    Metric(
        name="consumer_records_delivered_total",
        kind="counter",
        unit="{record}",
        meaning="records that are durable in the backend",
        source=_STATUS,
        read=_counted("records_delivered"),
    ),
    Metric(
        name="consumer_records_dead_lettered_total",
        kind="counter",
        unit="{record}",
        meaning="records that are durable in the dead letters",
        source=_STATUS,
        read=_counted("dead_letters"),
    ),
    Metric(
        name="consumer_records_in_flight",
        kind="gauge",
        unit="{record}",
        meaning="records read that are neither delivered nor given up yet",
        source=_STATUS,
        read=lambda snapshot: _one(snapshot.status.totals.in_flight),
    ),
    Metric(
        name="consumer_records_left_total",
        kind="counter",
        unit="{record}",
        meaning="records read that this worker has given up with their shard, by a drain, a lost lease or the end of a"
        " process: the next owner reads them again",
        source="shard processes; of one that has ended, what was in flight in its last status",
        read=lambda snapshot: _one(snapshot.status.totals.left),
    ),
    Metric(
        name="consumer_conservation_records",
        kind="gauge",
        unit="{record}",
        meaning="read - delivered - dead-lettered - in flight - left: 0, always. Anything else is a fault of the"
        " daemon: above 0 records have vanished, below 0 some were counted twice",
        source=_SUPERVISOR,
        read=lambda snapshot: _one(snapshot.status.totals.conservation),
    ),
    Metric(
        name="consumer_bytes_read_total",
        kind="counter",
        unit="By",
        meaning="bytes of the payloads of records read",
        source=_STATUS,
        read=_counted("bytes_read"),
    ),
    Metric(
        name="consumer_bytes_delivered_total",
        kind="counter",
        unit="By",
        meaning="bytes of the payloads of chunks delivered, their dead letters included",
        source=_STATUS,
        read=_counted("bytes_delivered"),
    ),
    Metric(
        name="consumer_chunks_delivered_total",
        kind="counter",
        unit="{chunk}",
        meaning="chunks of which every record is durable",
        source=_STATUS,
        read=_counted("chunks_delivered"),
    ),
    Metric(
        name="consumer_requests_total",
        kind="counter",
        unit="{request}",
        meaning="requests to the backend that write records, repeated ones included",
        source=_STATUS,
        read=_counted("requests"),
    ),
    Metric(
        name="consumer_requests_refused_total",
        kind="counter",
        unit="{request}",
        meaning="requests that the backend will never take as they stand, and that were cut smaller",
        source=_STATUS,
        read=_counted("requests_refused"),
    ),
    Metric(
        name="consumer_retries_total",
        kind="counter",
        unit="{retry}",
        labels=("class",),
        meaning="failed attempts that were or will be repeated, of requests, preparations and dead letters: transient"
        " (waiting cures it), throttled (the backend asks for less) or setup (someone has to mend something)",
        source=_STATUS,
        read=_retries,
    ),
    Metric(
        name="consumer_dead_letters_total",
        kind="counter",
        unit="{record}",
        labels=("reason",),
        meaning="records judged to be dead letters, by reason, from the moment on that they are about to be written",
        source=_STATUS,
        read=_dead_letters_by_reason,
    ),
    Metric(
        name="consumer_times_unread_total",
        kind="counter",
        unit="{record}",
        meaning="records whose record.time_field holds no time that record.time_format reads",
        source=_STATUS,
        read=_counted(TIMES_UNREAD),
    ),
    Metric(
        name="consumer_checkpoints_total",
        kind="counter",
        unit="{checkpoint}",
        meaning="checkpoints that the KCL has confirmed",
        source=_STATUS,
        read=_counted("checkpoints"),
    ),
    Metric(
        name="consumer_checkpoints_refused_total",
        kind="counter",
        unit="{checkpoint}",
        meaning="checkpoints that the KCL has refused",
        source=_STATUS,
        read=_counted("checkpoints_refused"),
    ),
    Metric(
        name="consumer_in_flight_chunks",
        kind="gauge",
        unit="{chunk}",
        meaning="sealed chunks that are not durable yet, of all shards here",
        source=_STATUS,
        read=_of_all(lambda shard: shard.in_flight_chunks),
    ),
    Metric(
        name="consumer_in_flight_chunks_limit",
        kind="gauge",
        unit="{chunk}",
        meaning="delivery.max_in_flight_chunks of all shards here together",
        source=_STATUS,
        read=_of_all(lambda shard: shard.max_in_flight_chunks),
    ),
    Metric(
        name="consumer_in_flight_bytes",
        kind="gauge",
        unit="By",
        meaning="memory of the records that are not durable yet, of all shards here",
        source=_STATUS,
        read=_of_all(lambda shard: shard.in_flight_bytes),
    ),
    Metric(
        name="consumer_in_flight_bytes_limit",
        kind="gauge",
        unit="By",
        meaning="delivery.max_in_flight_bytes of all shards here together",
        source=_STATUS,
        read=_of_all(lambda shard: shard.max_in_flight_bytes),
    ),
    Metric(
        name="consumer_back_pressure_ratio",
        kind="gauge",
        unit="1",
        meaning="share of the last minute for which callbacks of the KCL have waited for the backend, of the shard that"
        " waits most",
        source=_STATUS,
        read=lambda snapshot: _one(snapshot.status.back_pressure_share),
    ),
    Metric(
        name="consumer_back_pressure_state",
        kind="gauge",
        unit="1",
        labels=("word",),
        meaning="1 for the word that fits consumer_back_pressure_ratio (OK up to 0.1, LOW up to 0.5, HIGH), 0 for the"
        " others",
        source=_SUPERVISOR,
        read=_pressure,
    ),
    Metric(
        name="consumer_write_latency_seconds",
        kind="histogram",
        unit="s",
        meaning="how long requests to the backend took, failed ones included, waits before a repeat not",
        source=_STATUS,
        read=_latency,
    ),
    Metric(
        name="consumer_objects_written_total",
        kind="counter",
        unit="{object}",
        meaning="objects put to S3 (backend s3 only)",
        source=_STATUS,
        read=_counted("objects", backend="s3"),
    ),
    Metric(
        name="consumer_object_bytes_total",
        kind="counter",
        unit="By",
        meaning="bytes of the objects put to S3, compressed (backend s3 only)",
        source=_STATUS,
        read=_counted("object_bytes", backend="s3"),
    ),
    Metric(
        name="consumer_rows_written_total",
        kind="counter",
        unit="{row}",
        meaning="rows written to BigQuery (backend bigquery only)",
        source=_STATUS,
        read=_counted("insert_all_rows", "storage_write_rows", "load_rows", backend="bigquery"),
    ),
    Metric(
        name="consumer_billed_bytes_total",
        kind="counter",
        unit="By",
        meaning="bytes that BigQuery bills for writing: at least 1 KB a row by insertAll, the batches by the Storage"
        " Write API, none for load jobs (backend bigquery only)",
        source=_STATUS,
        read=_counted("insert_all_billed_bytes", "storage_write_bytes", backend="bigquery"),
    ),
    Metric(
        name="consumer_shards",
        kind="gauge",
        unit="{shard}",
        meaning="shards that have a process here",
        source=_STATUS,
        read=lambda snapshot: _one(len(snapshot.status.shards)),
    ),
    Metric(
        name="consumer_shards_held",
        kind="gauge",
        unit="{shard}",
        meaning="shards here that deliver nothing until someone acts, since too many of their records would become dead"
        " letters (deadletter.max_ratio)",
        source=_STATUS,
        read=lambda snapshot: _one(sum(shard.held is not None for shard in snapshot.status.shards)),
    ),
    Metric(
        name="consumer_shards_without_reader",
        kind="gauge",
        unit="{shard}",
        meaning="shards of the stream that nobody reads: no worker has the lease or renews it, or the KCL does not call"
        " the process, for longer than health.unread_after. Every worker tells of all shards",
        source="supervisor, from the lease table",
        read=lambda snapshot: _one(len(snapshot.status.health.unread)),
    ),
    Metric(
        name="consumer_healthy",
        kind="gauge",
        unit="1",
        meaning="1 when /healthz answers 200, 0 when it answers 503",
        source=_SUPERVISOR,
        read=lambda snapshot: _one(float(snapshot.status.health.healthy)),
    ),
    Metric(
        name="consumer_ready",
        kind="gauge",
        unit="1",
        meaning="1 when /readyz answers 200: the backend is prepared and the JVM runs",
        source=_SUPERVISOR,
        read=lambda snapshot: _one(float(snapshot.status.ready)),
    ),
    Metric(
        name="consumer_state",
        kind="gauge",
        unit="1",
        labels=("state",),
        meaning="1 for the state that the daemon is in, 0 for the others",
        source=_SUPERVISOR,
        read=_state,
    ),
    Metric(
        name="consumer_paused",
        kind="gauge",
        unit="1",
        meaning="1 while the application is paused",
        source=_SUPERVISOR,
        read=lambda snapshot: _one(float(snapshot.status.paused is not None)),
    ),
    Metric(
        name="consumer_jvm_restarts_total",
        kind="counter",
        unit="{restart}",
        meaning="times that the JVM has ended by itself and was started again",
        source=_SUPERVISOR,
        read=lambda snapshot: _one(snapshot.status.restarts),
    ),
    Metric(
        name="consumer_kcl_errors_total",
        kind="counter",
        unit="{error}",
        meaning="errors that the KCL has logged",
        source="the JVM's output",
        read=lambda snapshot: _one(snapshot.status.kcl_errors),
    ),
    Metric(
        name="consumer_process_memory_bytes",
        kind="gauge",
        unit="By",
        labels=("process",),
        meaning="resident memory: supervisor, jvm, fork-server, and shard for all shard processes together; pages that"
        " forked processes share count in each of them",
        source="/proc, once in ten seconds at most",
        read=_memory,
    ),
    Metric(
        name="consumer_start_time_seconds",
        kind="gauge",
        unit="s",
        meaning="when the daemon was started, in seconds since the epoch",
        source=_SUPERVISOR,
        read=lambda snapshot: _one(snapshot.status.started_at),
    ),
    Metric(
        name="consumer_build_info",
        kind="gauge",
        unit="1",
        labels=("version", "method", "worker"),
        meaning="1; its labels say which version runs, how it writes, and as which worker",
        source=_SUPERVISOR,
        read=_build,
    ),
    Metric(
        name="consumer_metrics_failed_pushes_total",
        kind="counter",
        unit="{push}",
        meaning="pushes to metrics.otlp_endpoint that failed; the next one carries the same counters",
        source=_SUPERVISOR,
        read=lambda snapshot: _one(snapshot.failed_pushes),
    ),
    Metric(
        name="consumer_shard_freshness_seconds",
        kind="gauge",
        unit="s",
        labels=(SHARD,),
        meaning="consumer_freshness_seconds of one shard",
        source=_STATUS,
        read=_of_each(lambda shard: shard.freshness_seconds),
    ),
    Metric(
        name="consumer_shard_checkpoint_age_seconds",
        kind="gauge",
        unit="s",
        labels=(SHARD,),
        meaning="time since the last checkpoint that the KCL has confirmed to this process; a shard without new records"
        " needs none",
        source=_STATUS,
        read=_of_each(lambda shard: shard.checkpoint_age_seconds),
    ),
    Metric(
        name="consumer_shard_behind_latest_seconds",
        kind="gauge",
        unit="s",
        labels=(SHARD,),
        meaning="consumer_behind_latest_seconds of one shard",
        source="Kinesis, at the last read",
        read=_of_each(lambda shard: shard.behind_latest_seconds),
    ),
    Metric(
        name="consumer_shard_records_delivered_total",
        kind="counter",
        unit="{record}",
        labels=(SHARD,),
        meaning="records that the shard's present process has made durable in the backend",
        source=_STATUS,
        read=_of_each(lambda shard: shard.counters.get("records_delivered", 0), counts=True),
    ),
    Metric(
        name="consumer_shard_bytes_delivered_total",
        kind="counter",
        unit="By",
        labels=(SHARD,),
        meaning="bytes of the payloads of chunks that the shard's present process has delivered",
        source=_STATUS,
        read=_of_each(lambda shard: shard.counters.get("bytes_delivered", 0), counts=True),
    ),
    Metric(
        name="consumer_shard_state",
        kind="gauge",
        unit="1",
        labels=(SHARD, "state"),
        meaning="1 for the state that the shard is in: running, lagging, paused, held, setup-blocked, draining or"
        " stuck",
        source=_SUPERVISOR,
        read=_shard_state,
    ),
)
