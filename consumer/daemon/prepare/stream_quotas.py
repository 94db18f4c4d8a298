"""Whether Google's quotas have room for the streams of bigquery.method = storage_write: one a shard and table.

https://cloud.google.com/bigquery/quotas#write-api-limits
"""

from __future__ import annotations

from collections.abc import Callable

from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.prepare.question import Check
from consumer.domain.routing import table_names
from consumer.settings import Settings

STREAMS_AN_HOUR = 10_000
CONNECTIONS = 5_000
CONNECTIONS_IN_MULTI_REGION = 20_000
_MULTI_REGIONS = ("US", "EU")


def stream_quota_checks(settings: Settings, count_shards: Callable[[], int | None]) -> list[Check]:
    """`count_shards` gives the stream's open shards, None where they may not be asked for; it blocks."""
    if settings.text("bigquery.method") != "storage_write":
        return []
    tables = len(table_names(settings.text("bigquery.table_prefix"), settings.integer("bigquery.key_digits")))
    location = settings.text("bigquery.location")
    return [Check(name="streams of BigQuery", step=lambda: check_quotas(count_shards(), tables, location))]


def check_quotas(shards: int | None, tables: int, location: str) -> str:
    """A line about both quotas. Raises Unusable where all shards together may pass one."""
    connections = CONNECTIONS_IN_MULTI_REGION if location.upper() in _MULTI_REGIONS else CONNECTIONS
    quotas = (
        f"a project may have {connections} connections in {location} and {STREAMS_AN_HOUR} new streams an hour, those"
        " of others counted"
    )
    if shards is None:
        return (
            f"each shard makes {tables} streams, and how many shards there are may not be asked for; {quotas}"
        )
    streams = shards * tables
    what = f"{shards} shards by {tables} tables make {streams} streams with a connection each; {quotas}"
    if streams > min(connections, STREAMS_AN_HOUR):
        raise Unusable(
            f"bigquery.key_digits: {what}: have fewer tables, ask Google for more, or set bigquery.method = insert_all"
        )
    return f"{what}, which is room for {STREAMS_AN_HOUR // max(streams, 1)} starts of all shards an hour"
