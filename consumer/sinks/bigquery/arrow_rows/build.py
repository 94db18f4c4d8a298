"""Which row maker a set of rules asks for."""

from consumer.sinks.bigquery.arrow_rows.earlier_times import LAST_VERSION, EarlierTimes
from consumer.sinks.bigquery.arrow_rows.fields_rows import FieldsRows
from consumer.sinks.bigquery.arrow_rows.log_rows import LogRows, RowMaker
from consumer.sinks.bigquery.arrow_rows.rules import Rules


def row_maker(rules: Rules, *, shard: str) -> RowMaker:
    maker = _row_maker(rules, shard)
    return maker if rules.version > LAST_VERSION else EarlierTimes(maker, rules)


def _row_maker(rules: Rules, shard: str) -> RowMaker:
    if rules.text("bigquery.row") == "log":
        return LogRows(rules, shard=shard)
    fields = FieldsRows.of(rules, shard=shard)
    if fields is not None:
        return fields
    from consumer.sinks.bigquery.arrow_rows.typed_rows import TypedRows

    return TypedRows(rules, shard=shard)
