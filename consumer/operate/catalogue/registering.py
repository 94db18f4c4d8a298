"""`athena-ddl --register`: a table in the Glue Data Catalog is made, or mended."""

from __future__ import annotations

from consumer.operate.action import Action
from consumer.operate.catalogue.glue import Catalogue
from consumer.operate.catalogue.growth import growth, shown
from consumer.operate.catalogue.table import Table
from consumer.operate.errors import Refused


def register(action: Action, table: Table, catalogue: Catalogue) -> None:
    """Returns once the table stands in Glue as asked, or `--dry-run` has said what would be done. Raises Refused and
    Trouble."""
    name = f"{table.database}.{table.name}"
    found = catalogue.table(table.database, table.name)
    if found is None:
        _create(action, table, catalogue, name)
        return
    grown = growth(found, table, catalogue.members)
    if grown.kept:
        action.console.say(f"{name} keeps what these settings do not have: column {shown(grown.kept)}")
    if not grown.changes:
        action.console.say(f"{name} is in Glue as asked: nothing to change")
        return
    for change in grown.changes:
        action.console.say(f"{name}: {change}")
    entry = action.approved(f"change table {name} in Glue", {"changes": len(grown.changes)})
    if entry is None:
        return
    try:
        catalogue.update_table(table.database, grown.table_input, found.get("VersionId"))
    except Exception:
        entry.end("failed", {"changes": 0})
        raise
    entry.end("done", {"changes": len(grown.changes)})
    action.console.say(f"{name} is in Glue as asked")


def _create(action: Action, table: Table, catalogue: Catalogue, name: str) -> None:
    is_new = not catalogue.has_database(table.database)
    if is_new and not action.options.create_database:
        raise Refused(
            f"nothing was changed: there is no database {table.database} in Glue: --create-database makes it"
        )
    beside = f"database {table.database} and " if is_new else ""
    counts = {"columns": len(table.columns), "partition_columns": len(table.partitions)}
    entry = action.approved(f"create {beside}table {name} in Glue, over {table.location}", counts)
    if entry is None:
        return
    try:
        if is_new:
            catalogue.create_database(table.database)
        catalogue.create_table(table.database, table.glue_input())
    except Exception:
        entry.end("failed", counts)
        raise
    entry.end("done", counts)
    action.console.say(f"{name} is in Glue: {len(table.columns)} columns over {table.location}")
