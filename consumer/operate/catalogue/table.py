"""A table of Athena over the objects that the settings make, as a statement and as Glue has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumer.domain.key_templates import TemplateError
from consumer.operate.catalogue.columns import (
    Columns,
    HiveColumn,
    HiveType,
    line_columns,
    parquet_columns,
    whole_lines,
)
from consumer.operate.catalogue.paths import PartitionColumn, Paths, paths_of
from consumer.operate.errors import Refused
from consumer.settings import Settings
from consumer.settings.schema import Column, SchemaError

ENABLED = "projection.enabled"
TEMPLATE = "storage.location.template"
PROJECTION = "projection."

_TEXT_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
_TEXT_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
_ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How Athena reads an object."""

    serde: str
    input_format: str
    output_format: str
    serde_properties: Mapping[str, str]
    classification: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`location` and `template` end with a slash; the latter is empty without partitions."""

    database: str
    name: str
    columns: Sequence[HiveColumn]
    partitions: Sequence[PartitionColumn]
    format: Format
    location: str
    template: str

    def parameters(self) -> dict[str, str]:
        """Properties of the table."""
        found = {"classification": self.format.classification}
        if self.partitions:
            found[ENABLED] = "true"
            for column in self.partitions:
                for key, value in column.projection.items():
                    found[f"{PROJECTION}{column.name}.{key}"] = value
            found[TEMPLATE] = self.template
        return found

    def statement(self) -> str:
        """`CREATE EXTERNAL TABLE …`, without a semicolon."""
        partitions = [HiveColumn(column.name, HiveType(column.type)) for column in self.partitions]
        return "\n".join(
            [
                f"CREATE EXTERNAL TABLE {_name(self.database)}.{_name(self.name)} (",
                *_listed(map(_column, self.columns)),
                *(["PARTITIONED BY (", *_listed(map(_column, partitions))] if partitions else []),
                f"ROW FORMAT SERDE {_text(self.format.serde)}",
                *(
                    ["WITH SERDEPROPERTIES (", *_listed(map(_property, self.format.serde_properties.items()))]
                    if self.format.serde_properties
                    else []
                ),
                f"STORED AS INPUTFORMAT {_text(self.format.input_format)}",
                f"OUTPUTFORMAT {_text(self.format.output_format)}",
                f"LOCATION {_text(self.location)}",
                "TBLPROPERTIES (",
                *_listed(map(_property, self.parameters().items())),
            ]
        )

    def glue_input(self) -> dict[str, Any]:
        """TableInput of Glue's CreateTable, as Athena makes it of the statement."""
        return {
            "Name": self.name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", **self.parameters()},
            "PartitionKeys": [{"Name": column.name, "Type": column.type} for column in self.partitions],
            "StorageDescriptor": {
                "Columns": [{"Name": column.name, "Type": column.type.text()} for column in self.columns],
                "Location": self.location,
                "InputFormat": self.format.input_format,
                "OutputFormat": self.format.output_format,
                "SerdeInfo": {
                    "SerializationLibrary": self.format.serde,
                    "Parameters": {"serialization.format": "1", **self.format.serde_properties},
                },
            },
        }


def table_of(
    settings: Settings,
    *,
    database: str,
    name: str,
    since: datetime,
    values: Mapping[str, Sequence[str]],
    schema: Sequence[Column] = (),
) -> Table:
    """`since` is the first day of times in paths, `values` are those of fields that are enumerated, `schema` has the
    fields of lines. Raises Refused for what Athena has no word for; it names the setting."""
    try:
        columns = _columns(settings, schema)
        paths = _paths(settings, columns, since, values)
    except SchemaError as error:
        raise Refused(f"s3.schema_file: {error}") from error
    place = f"{_bucket(settings)}{_prefix(settings)}{paths.template}"
    fixed = place.partition("${")[0]
    return Table(
        database=database,
        name=name,
        columns=columns.columns,
        partitions=paths.columns,
        format=_format(settings, columns, whole=not schema),
        location=fixed[: fixed.rindex("/") + 1],
        template=place if paths.columns else "",
    )


def is_parquet(settings: Settings) -> bool:
    return settings.text("s3.format") == "parquet"


def _columns(settings: Settings, schema: Sequence[Column]) -> Columns:
    """Raises Refused and SchemaError."""
    if is_parquet(settings):
        return parquet_columns(settings)
    return line_columns(schema, source="--schema") if schema else whole_lines()


def _paths(
    settings: Settings, columns: Columns, since: datetime, values: Mapping[str, Sequence[str]]
) -> Paths:
    key = "s3.partition" if settings["s3.key_template"] is None else "s3.key_template"
    template = settings.text(key)
    try:
        return paths_of(
            template, stream=settings.stream_name, since=since, taken=columns.names, values=values
        )
    except TemplateError as error:
        raise Refused(f"{key}: {error}") from error
    except KeyError as error:
        raise Refused(f"--values: {key} = {template} has no {{{error.args[0]}}}") from error


def _bucket(settings: Settings) -> str:
    bucket = settings.text("s3.bucket")
    if bucket.startswith("arn:"):
        raise Refused(
            "s3.bucket: Athena takes no ARN of an access point: name its alias with --set s3.bucket=…"
        )
    storage = settings.optional_text("s3.storage_class")
    if storage in _ARCHIVED:
        raise Refused(f"s3.storage_class: Athena reads no objects of {storage}")
    return f"s3://{bucket}/"


def _prefix(settings: Settings) -> str:
    prefix = settings.text("s3.prefix")
    if "*" in prefix or "//" in prefix:
        raise Refused(f's3.prefix: Athena takes no "*" and no "//" in a location, and it is {prefix}')
    return prefix


def _format(settings: Settings, columns: Columns, *, whole: bool) -> Format:
    if is_parquet(settings):
        return Format(
            serde=f"{_PARQUET}.serde.ParquetHiveSerDe",
            input_format=f"{_PARQUET}.MapredParquetInputFormat",
            output_format=f"{_PARQUET}.MapredParquetOutputFormat",
            serde_properties={},
            classification="parquet",
        )
    if whole:
        # a line as it is: no value of JSON can be mistaken for a separator
        serde, properties = "org.apache.hadoop.hive.serde2.RegexSerDe", {"input.regex": "(?s)(.*)"}
    else:
        serde = "org.openx.data.jsonserde.JsonSerDe"
        mapped = {f"mapping.{name}": key for name, key in columns.keys.items()}
        # one record that is no object must not break every query
        properties = {"ignore.malformed.json": "true", **mapped}
    return Format(
        serde=serde,
        input_format=_TEXT_INPUT,
        output_format=_TEXT_OUTPUT,
        serde_properties=properties,
        classification="json",
    )


def _listed(lines: Any) -> list[str]:
    """Indented, with commas between them and the bracket at the end."""
    return [",\n".join([f"  {line}" for line in lines]), ")"]


def _column(column: HiveColumn) -> str:
    return f"{_name(column.name)} {column.type.text('`')}"


def _property(pair: tuple[str, str]) -> str:
    return f"{_text(pair[0])} = {_text(pair[1])}"


def _name(name: str) -> str:
    """Quoted, so that reserved words and names that begin with a digit or `_` are names."""
    return f"`{name}`"


def _text(value: str) -> str:
    """As Hive's language has it, which is Athena's for statements that define."""
    escaped_value = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped_value}'"
