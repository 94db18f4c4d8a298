"""How many values a record may have for a row of fields: each becomes an object in memory before it becomes a cell."""

from collections.abc import Sequence
from itertools import islice

from consumer.domain.dead_letters import Reason
from consumer.settings.schema import Column
from consumer.sinks.bigquery.rows.bad_record import BadRecord
from consumer.sinks.json.members import count_values, members, name_of

MOST_MEMBERS = 10_000
"""Of a record. A table has no more columns: https://cloud.google.com/bigquery/quotas#standard_tables. The C library has
the same number."""

MOST_VALUES = 100_000
"""In the repeated and nested columns of a row together."""

_REASON: Reason = "too_many_values"
LEAST_MEMBER_BYTES = len('"":0,')
"""The C library has the same number."""

SURE_BYTES = min(LEAST_MEMBER_BYTES * MOST_MEMBERS, MOST_VALUES)
"""An object of no more has no more members and values than it may."""


def check_members(data: bytes, most: int = MOST_MEMBERS) -> None:
    """Raises BadRecord where an object has more members than `most`, however often a name is there."""
    if len(data) <= LEAST_MEMBER_BYTES * most or data.count(b":") <= most:
        return
    # how many more there are nobody has to know: a record has room for a million
    if next(islice(members(data), most, None), None) is not None:
        raise BadRecord(_REASON, f"more than {MOST_MEMBERS} fields, which is what a row takes")


def check_values(data: bytes, columns: Sequence[Column]) -> None:
    """Raises BadRecord where the repeated and nested columns of an object have more than MOST_VALUES."""
    if len(data) <= MOST_VALUES:  # each of them takes a byte at least
        return
    large = {column.name.lower() for column in columns if column.mode == "REPEATED" or column.fields}
    count = 0
    for member in members(data):
        if name_of(member.raw_name).lower() in large:
            count += count_values(data[member.value : member.end], MOST_VALUES - count)
            if count > MOST_VALUES:
                raise BadRecord(_REASON, f"more than {MOST_VALUES} values in repeated and nested columns")
