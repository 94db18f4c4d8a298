"""`athena-ddl`: says how Athena reads the objects, as a statement; `--register` tells Glue."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from consumer.daemon.commands.arguments import FindEmbedded, assignment
from consumer.domain.key_templates import NO_VALUE
from consumer.operate.action import Action, action_parser, run_action
from consumer.operate.catalogue.columns import LOG
from consumer.operate.catalogue.glue import Catalogue
from consumer.operate.catalogue.paths import LAST_YEAR, plain
from consumer.operate.catalogue.registering import register
from consumer.operate.catalogue.table import Table, is_parquet, table_of
from consumer.operate.errors import Refused
from consumer.settings import Settings
from consumer.settings.schema import Column, SchemaError, read_schema

_NAME = re.compile(r"[a-z0-9_]{1,255}")
_DATABASE = re.compile(r"[a-z0-9_-]{1,255}")
"""Those of Glue often have hyphens, which Athena takes in quotes."""
_SINCE = {"arrival": datetime(2025, 1, 1, tzinfo=UTC), "record": datetime(2000, 1, 1, tzinfo=UTC)}
"""By `s3.partition_time`: before any object of this daemon, and before most records' own times."""


def athena_ddl_main(arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None) -> int:
    """Returns 0 when the statement was printed, or the table stands in Glue as asked; 1 when not, 2 for wrong usage or
    settings."""
    return run_action("athena-ddl", ddl_parser().parse_args(arguments), find_embedded, act)


def act(action: Action) -> int:
    table = asked_table(action.options, action.settings)
    if action.options.register:
        register(action, table, Catalogue(action.settings))
    else:
        print(table.statement())
    for note in notes(table, action.settings):
        action.console.say(f"note: {note}")
    return 0


def asked_table(options: argparse.Namespace, settings: Settings) -> Table:
    """Raises Refused."""
    name = options.table or plain(settings.stream_name)
    if not _NAME.fullmatch(name):
        raise Refused(f"a table of Athena cannot have the name {name}: give it one by --table")
    return table_of(
        settings,
        database=options.database,
        name=name,
        since=options.since or _SINCE[settings.text("s3.partition_time")],
        values=_values(options.values),
        schema=_line_schema(options.schema, settings),
    )


def notes(table: Table, settings: Settings) -> list[str]:
    """What a user of the table has to know."""
    found = []
    columns = [column.name for column in table.columns]
    for column in table.partitions:
        if column.is_injected:
            found.append(
                f"{column.name} is injected: every query needs a condition {column.name} = '…', or IN ('…', '…'), with"
                f" the values as they stand in keys; --values {column.field}=A,B,… makes it an enumeration instead"
            )
        if column.default == NO_VALUE:
            found.append(
                f"records without {column.field} are under {NO_VALUE}, which no condition finds: write"
                f" {{{column.field}|none}} in s3.key_template"
            )
        own = column.name.removesuffix("_partition")
        if own != column.name and own in columns:
            found.append(f"{column.name} is the part of the path, and {own} what the record has")
    if any(column.projection.get("digits") == "4" for column in table.partitions):
        found.append(
            "a query without a condition on the year asks S3 for every path that there may be until"
            f" {LAST_YEAR}: dt=%Y-%m-%d in place of year=%Y/month=%m/day=%d ends tomorrow"
        )
    if not is_parquet(settings) and columns == [LOG]:
        found.append(
            "log is the whole line, for json_extract_scalar(log, '$.field'); --schema FILE makes columns of fields"
        )
    return found


def _line_schema(file: Path | None, settings: Settings) -> tuple[Column, ...]:
    if file is None:
        return ()
    if is_parquet(settings):
        raise Refused("--schema is for lines: Parquet has the columns of s3.schema_file")
    try:
        return read_schema(file)
    except SchemaError as error:
        raise Refused(f"--schema: {error}") from error


def _values(told: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for field, values in told:
        found.setdefault(field, []).extend(values.split(","))
    return found


def _since(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


def _format(text: str) -> tuple[str, str]:
    return "s3.format", text


def _database_name(text: str) -> str:
    if not _DATABASE.fullmatch(text):
        raise argparse.ArgumentTypeError(f'"{text}" is not 1 to 255 lower-case letters, digits, _ and -')
    return text


def _table_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f'"{text}" is not 1 to 255 lower-case letters, digits and _')
    return text


def ddl_parser() -> argparse.ArgumentParser:
    parser = action_parser(
        "athena-ddl",
        "Prints the CREATE EXTERNAL TABLE for Athena, with partition projection, that reads the objects of the S3"
        " backend with the settings in force.",
        only="s3",
    )
    parser.add_argument(
        "--database", type=_database_name, default="default", metavar="NAME", help="default: default"
    )
    parser.add_argument("--table", type=_table_name, metavar="NAME", help="default: from the stream's name")
    parser.add_argument(
        "--format", dest="set", action="append", type=_format, metavar="FORMAT", help="in place of s3.format"
    )
    parser.add_argument(
        "--schema",
        type=Path,
        metavar="FILE",
        help="for lines: a schema file as of s3.schema_file, whose columns are read from each line; without one the"
        " table has the line as its column log",
    )
    parser.add_argument(
        "--from",
        dest="since",
        type=_since,
        metavar="DAY",
        help="of the first objects, as YYYY-MM-DD: others are not seen (default: 2025-01-01, and 2000-01-01 with"
        " s3.partition_time = record)",
    )
    parser.add_argument(
        "--values",
        action="append",
        default=[],
        type=assignment,
        metavar="FIELD=VALUE,…",
        help="all values that a field of the key template has, so that queries need no condition on it: others are not"
        " seen; repeatable",
    )
    glue = parser.add_argument_group("in the Glue Data Catalog")
    glue.add_argument(
        "--register",
        action="store_true",
        help="make the table there, or mend it: columns that it does not have are added, none is dropped or retyped",
    )
    glue.add_argument("--create-database", action="store_true", help="with --register, where there is none")
    return parser
