"""The rules by which records become rows, in a form that can be kept and compared."""

from collections.abc import Mapping

import msgspec

from consumer.domain.dead_letters import Reason
from consumer.settings import Settings
from consumer.settings.columns import schema_columns
from consumer.settings.schema import Column
from consumer.settings.values import Value

VERSION = 3
"""To be raised when the code turns a record into another row, or into none, under the same settings: the version of
the judge of JSON (sinks/json/rule.py) and of all that follows it."""

_SINCE_2: frozenset[Reason] = frozenset({"rejected", "judged_otherwise"})
_SINCE_1: frozenset[Reason] = frozenset(
    {"too_deep", "long_name", "not_unicode", "bad_number", "repeated_field", "too_many_values"}
)

NEW_VERDICTS: Mapping[int, frozenset[Reason]] = {1: _SINCE_1 | _SINCE_2, 2: _SINCE_2}
"""By version, the reasons for which it cannot be told whether that version made a row of a record: 1 hung on the stack;
2 took more notations of times (earlier_times.py), and null for a REPEATED column."""

RULE_SETTINGS = (
    "bigquery.project",
    "bigquery.dataset",
    "bigquery.table_prefix",
    "bigquery.key_digits",
    "bigquery.row",
    "bigquery.partition_field",
    "bigquery.unknown_fields",
    "bigquery.overflow_column",
    "bigquery.metadata_columns",
    "record.key_field",
    "record.time_field",
    "record.time_format",
)


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """Two equal rules put the same records into the same tables, in the same order, and refuse the same ones.

    `columns` are those of the schema file, none for `bigquery.row = log`; `transform` is the digest of the transform
    that records have gone through, empty without one.
    """

    version: int
    settings: Mapping[str, Value]
    columns: tuple[Column, ...] = ()
    transform: str = ""

    def text(self, key: str) -> str:
        return str(self.settings[key])

    def integer(self, key: str) -> int:
        value = self.settings[key]
        assert isinstance(value, int)
        return value

    def flag(self, key: str) -> bool:
        """False, too, in rules that were kept before there was such a setting."""
        return self.settings.get(key) is True

    def table_path(self, table: str) -> str:
        """As the Storage Write API names tables."""
        project, dataset = self.text("bigquery.project"), self.text("bigquery.dataset")
        return f"projects/{project}/datasets/{dataset}/tables/{table}"


def rules_of(settings: Settings, *, transform: str = "") -> Rules:
    """The rules that the settings make; reads the schema file. Raises SchemaError."""
    chosen = {key: settings[key] for key in RULE_SETTINGS if settings[key] is not None}
    return Rules(VERSION, chosen, schema_columns(settings), transform)
