"""What a replay into BigQuery's tables refuses, because rows would come twice."""

from __future__ import annotations

from consumer.daemon.prepare.distances import distance_reader
from consumer.daemon.prepare.lease_table import lease_reader
from consumer.domain.errors import DeliveryError, SetupError
from consumer.domain.routing import table_names
from consumer.operate.action import Action
from consumer.operate.errors import Refused
from consumer.operate.moments import written_ms
from consumer.operate.patience import Patience
from consumer.operate.replay.own_settings import destination_of
from consumer.settings import Settings
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.load.build import queries_of


def refuse_doubling(action: Action, settings: Settings, to_ms: int) -> None:
    """`settings` are those of the replay. Raises Refused, DeliveryError and Trouble."""
    if destination_of(settings) == destination_of(action.settings):
        _refuse_what_is_to_come(action, to_ms)
    if not settings.flag("bigquery.metadata_columns") and not action.options.rows_are_gone:
        _refuse_unknown_rows(action, settings)


def _refuse_what_is_to_come(action: Action, to_ms: int) -> None:
    """What the application has not delivered, it will: it does not look for what a replay has written."""
    leases = lease_reader(action.settings)()
    distances = distance_reader(action.settings)(leases)
    for lease in sorted(leases, key=lambda lease: lease.shard):
        found = distances.get(lease.shard)
        if lease.ended or found is None:
            continue
        if found.fault is not None:
            raise Refused(
                f"how far {action.application} has delivered {lease.shard} is not known: {found.fault}"
            )
        if found.next_arrived_at is not None and found.next_arrived_at * 1000 < to_ms:
            at = written_ms(round(found.next_arrived_at * 1000))
            raise Refused(
                f"{action.application} itself has still to deliver {lease.shard} from {at} on, into the same tables:"
                " choose a range that ends before, or wait"
            )


def _refuse_unknown_rows(action: Action, settings: Settings) -> None:
    """Without the columns that identify rows, only empty tables are known to hold none of the range."""
    queries = queries_of(settings, HttpConnection.of(settings))
    dataset = f"{settings.text('bigquery.project')}.{settings.text('bigquery.dataset')}"
    patience = Patience(tell=action.console.say)
    names = table_names(settings.text("bigquery.table_prefix"), settings.integer("bigquery.key_digits"))

    def rows(table: str) -> int:
        try:
            [(count,)] = queries.rows(table, f"SELECT COUNT(*) FROM `{dataset}.{table}`", {})
        except SetupError as error:
            if "notFound" in str(error):
                return 0
            raise
        return int(count or 0)

    for table in names:
        try:
            count = patience.keep(lambda table=table: rows(table))  # type: ignore[misc]
        except DeliveryError as error:
            raise Refused(f"what the tables hold is not known: {error}") from error
        if count:
            raise Refused(
                f"{table} holds {count:,} rows, and without bigquery.metadata_columns nothing tells which of the range"
                " are among them: replay into another dataset (--into bigquery.dataset=NAME), or, where the rows of the"
                " range are gone, say so by --rows-are-gone"
            )
