"""Makes a backend usable: its stream and buckets checked, its tables made."""

from __future__ import annotations

from consumer.daemon.errors import StartFailed
from consumer.daemon.log import Log
from consumer.daemon.preparation import Patience, Unusable, prepare
from consumer.settings import Settings


def prepare_backend(settings: Settings, patience: Patience, log: Log) -> None:
    """Blocks until everything is there. Raises StartFailed, or Stopped when the patience says so.

    The clients are imported here: they cost time and memory that a fault in the settings can save.
    """
    from consumer.daemon.aws_checks import aws_steps

    if settings.backend == "s3":
        prepare(aws_steps(settings), patience=patience, log=log)
        return
    from consumer.daemon.bigquery_tables import BigQueryTables
    from consumer.daemon.bigquery_view import view_steps
    from consumer.daemon.positions import positions_steps

    try:
        tables = BigQueryTables(settings)
    except Unusable as error:
        raise StartFailed(str(error)) from error
    prepare(
        [*aws_steps(settings), *positions_steps(settings), tables.ensure_dataset], patience=patience, log=log
    )
    prepare(tables.table_steps(), patience=patience, log=log)
    prepare(view_steps(settings), patience=patience, log=log)
