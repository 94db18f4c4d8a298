"""How many rows the tables hold, by the engine's own statistics: a count by query costs a hundred times as much.

`GET /_rows?project=…&dataset=…&prefix=…` answers `{"rows": N, "tables": {NAME: N}}`.
"""

from fastapi import FastAPI
from local_bigquery.engine import database
from local_bigquery.engine.database import quote

from consumer.local.bigquery import ROWS_PATH


def add_to(app: FastAPI) -> None:
    """Let an application answer the counts, too."""
    app.get(ROWS_PATH)(_answer)


def _answer(project: str, dataset: str, prefix: str) -> dict[str, object]:
    tables = _rows_by_table(project, dataset, prefix)
    return {"rows": sum(tables.values()), "tables": tables}


def _rows_by_table(project: str, dataset: str, prefix: str) -> dict[str, int]:
    catalogue = quote(f"__ducklake_metadata_{project}")
    stored, deleted = (
        f"(SELECT table_id, sum({counted}) AS counted FROM {catalogue}.{files} "
        "WHERE end_snapshot IS NULL GROUP BY table_id)"
        for files, counted in (
            ("ducklake_data_file", "record_count"),
            ("ducklake_delete_file", "delete_count"),
        )
    )
    rows = database.fetch(
        f"WITH chosen AS (SELECT table_id, table_name FROM {catalogue}.ducklake_table AS tables "
        f"JOIN {catalogue}.ducklake_schema AS schemas USING (schema_id) "
        "WHERE tables.end_snapshot IS NULL AND schemas.end_snapshot IS NULL "
        f"AND schema_name = $1 AND starts_with(table_name, $2)) "
        "SELECT table_name, coalesce(stored.counted, 0) - coalesce(deleted.counted, 0) FROM chosen "
        f"LEFT JOIN {stored} AS stored USING (table_id) LEFT JOIN {deleted} AS deleted USING (table_id)",
        [dataset, prefix],
    )
    return {name: int(counted) for name, counted in rows}
