"""Makes a backend usable: its stream and buckets checked, its tables made."""

from __future__ import annotations

from collections.abc import Callable

from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.preparation import Patience, Step, Unusable, prepare
from consumer.daemon.report.leases import Lease
from consumer.daemon.report.log import Log
from consumer.settings import Settings


def prepare_backend(settings: Settings, patience: Patience, log: Log) -> int | None:
    """Blocks until everything is there; returns the number of the stream's open shards, None where it may not be
    asked for. Raises StartFailed, or Stopped when the patience says so.

    The clients are imported here: they cost time and memory that a fault in the settings can save.
    """
    from consumer.daemon.prepare.aws_checks import aws_steps
    from consumer.daemon.prepare.lease_table import kcl_table_steps

    open_shards: list[int] = []
    steps = [*aws_steps(settings, open_shards.append), *kcl_table_steps(settings)]
    if settings.backend == "s3":
        prepare(steps, patience=patience, log=log)
    else:
        _prepare_bigquery(settings, steps, patience, log)
    return open_shards[-1] if open_shards else None


def _prepare_bigquery(settings: Settings, steps: list[Step], patience: Patience, log: Log) -> None:
    from consumer.daemon.prepare.bigquery_tables import BigQueryTables
    from consumer.daemon.prepare.bigquery_view import view_steps
    from consumer.daemon.prepare.positions import positions_steps

    try:
        tables = BigQueryTables(settings)
    except Unusable as error:
        raise StartFailed(str(error)) from error
    prepare([*steps, *positions_steps(settings), tables.ensure_dataset], patience=patience, log=log)
    prepare(tables.table_steps(), patience=patience, log=log)
    prepare(view_steps(settings), patience=patience, log=log)


def lease_reader_of(settings: Settings) -> Callable[[], list[Lease]]:
    """Reads all leases at each call; blocks, and raises Trouble."""
    from consumer.daemon.prepare.lease_table import lease_reader

    return lease_reader(settings)


def release_lock(settings: Settings, worker_id: str) -> bool:
    """Of the KCL's leader, if a JVM of this worker has left it behind. Blocks, and raises Trouble."""
    from consumer.daemon.prepare.leader_lock import release_leader_lock

    return release_leader_lock(settings, worker_id)


def count_open_shards(settings: Settings) -> int | None:
    """Of the stream; None where it may not be asked for. Blocks. Raises Trouble."""
    from consumer.daemon.prepare.aws_checks import stream_step

    open_shards: list[int] = []
    stream_step(settings, open_shards.append)()
    return open_shards[-1] if open_shards else None
