"""Which row maker a set of rules asks for."""

from consumer.sinks.bigquery.storage_write.rows import LogRows, RowMaker
from consumer.sinks.bigquery.storage_write.rules import Rules


def row_maker(rules: Rules, *, shard: str) -> RowMaker:
    if rules.text("bigquery.row") == "log" and not rules.flag("bigquery.metadata_columns"):
        return LogRows(rules)
    from consumer.sinks.bigquery.storage_write.typed_rows import TypedRows

    return TypedRows(rules, shard=shard)
