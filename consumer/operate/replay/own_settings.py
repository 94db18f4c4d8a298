"""The settings of a replay: those of the application, but for its name, where it delivers, and how much it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from consumer.operate.replay.plan import Range
from consumer.settings import Settings

_MARK = "-replay-"
_DESTINATION = {
    "s3": ("s3.bucket", "s3.prefix", "s3.key_template", "s3.partition", "s3.partition_time", "s3.time_zone"),
    "bigquery": ("bigquery.project", "bigquery.dataset", "bigquery.table_prefix"),
}
_TABLES = {
    "tableName": "",
    "workerMetricsTableName": "-WorkerMetricStats",
    "coordinatorStateTableName": "-CoordinatorState",
}
_MOST_LEASES = 2_147_483_647
_FEWEST_MILLIS, _MILLIS = 200, 1000
_MOST_RECORDS = 10_000
_BIGQUERY = {
    "bigquery.method": "load",
    "chunk.window": "5m",
    "chunk.max_bytes": "64MiB",
    "delivery.max_in_flight_bytes": "256MiB",
}
"""By load jobs, whatever the method: docs/decisions/replay.md. A chunk makes a job for each table."""


def destination_of(settings: Settings) -> dict[str, object]:
    """What tells where records go."""
    return {key: settings[key] for key in _DESTINATION[settings.backend] if settings[key] is not None}


def replay_name(application: str, wanted: Range, into: Mapping[str, str], settings: Settings) -> str:
    """The same for the same range, shards and destination, so that who asks for them again goes on."""
    facts = (
        wanted.from_ms,
        wanted.to_ms,
        sorted(wanted.shards),
        sorted(into.items()),
        destination_of(settings),
    )
    digest = hashlib.blake2s(msgspec.json.encode(facts, order="sorted"), digest_size=5).hexdigest()
    return f"{application}{_MARK}{digest}"


def is_replay(application: str) -> bool:
    return _MARK in application


def overrides(application: Settings, into: Mapping[str, str], *, name: str, rate: float) -> dict[str, str]:
    """What counts more than the settings of the application; `rate` is in records a second for each shard."""
    own = {
        "applicationName": name,
        "http.port": "0",
        "retrievalMode": "POLLING",
        "initialPositionInStream": "TRIM_HORIZON",
        "skipShardSyncAtWorkerInitializationIfLeasesExist": "true",
        "maxLeasesForWorker": str(_MOST_LEASES),
        "supervisor.lock": "application",
        "checkpoint.interval": "5s",
        "hold.unhealthy_after": "24h",  # its records are old, which is no fault
        **_reading(rate),
        **{key: f"{name}{end}" for key, end in _TABLES.items() if application[key] is not None},
    }
    if application["leaseTableDeletionProtectionEnabled"]:
        own["leaseTableDeletionProtectionEnabled"] = "false"
    for prefix in ("workerMetrics", "coordinatorState"):
        if application[f"{prefix}DeletionProtectionEnabled"]:
            own[f"{prefix}DeletionProtectionEnabled"] = "false"
    if application.backend == "s3":
        return {**own, **into}
    prefix = f"{application.text('bigquery.load_job_prefix')}{_MARK}{name.rpartition(_MARK)[2]}"
    return {**own, **_BIGQUERY, "bigquery.load_job_prefix": prefix, **into}


def _reading(rate: float) -> dict[str, str]:
    """Of the KCL, which reads so many records at once, and pauses between two reads of a shard."""
    millis = max(_FEWEST_MILLIS, min(_MILLIS, int(_MILLIS * _MOST_RECORDS / rate)))
    records = max(1, min(_MOST_RECORDS, int(rate * millis / _MILLIS)))
    return {"maxRecords": str(records), "idleTimeBetweenReadsInMillis": str(millis)}
