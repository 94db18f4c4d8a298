"""The rules by which records become rows, in a form that can be kept and compared."""

from collections.abc import Mapping

import msgspec

from consumer.settings import Settings
from consumer.settings.schema import Column, read_schema
from consumer.settings.values import Value

VERSION = 1
"""To be raised when the code turns a record into another row, or into none, under the same settings."""

RULE_SETTINGS = (
    "bigquery.project",
    "bigquery.dataset",
    "bigquery.table_prefix",
    "bigquery.key_digits",
    "bigquery.row",
    "bigquery.partition_field",
    "record.key_field",
    "record.time_field",
    "record.time_format",
)


class Rules(msgspec.Struct, frozen=True):
    """Two equal rules put the same records into the same tables, in the same order, and refuse the same ones."""

    version: int
    settings: Mapping[str, Value]
    columns: tuple[Column, ...] = ()

    def text(self, key: str) -> str:
        return str(self.settings[key])

    def table_path(self, table: str) -> str:
        """As the Storage Write API names tables."""
        project, dataset = self.text("bigquery.project"), self.text("bigquery.dataset")
        return f"projects/{project}/datasets/{dataset}/tables/{table}"


def rules_of(settings: Settings) -> Rules:
    """The rules that the settings make; reads the schema file. Raises SchemaError."""
    columns = read_schema(settings.path("bigquery.schema_file")) if _has_schema(settings) else ()
    chosen = {key: settings[key] for key in RULE_SETTINGS if settings[key] is not None}
    return Rules(VERSION, chosen, columns)


def _has_schema(settings: Settings) -> bool:
    return settings.text("bigquery.row") == "fields"
