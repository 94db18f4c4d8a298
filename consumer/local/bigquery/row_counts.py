"""How many rows the tables hold, by the engine's own statistics: a count by query costs a hundred times as much.

`GET /_rows?project=…&dataset=…&prefix=…` answers `{"rows": N}`.
"""

from fastapi import FastAPI
from local_bigquery.engine import database
from local_bigquery.engine.database import quote

from consumer.local.bigquery import ROWS_PATH


def add_to(app: FastAPI) -> None:
    """Let an application answer the counts, too."""
    app.get(ROWS_PATH)(_rows)


def _rows(project: str, dataset: str, prefix: str) -> dict[str, int]:
    catalogue = quote(f"__ducklake_metadata_{project}")
    stored, deleted = (
        f"(SELECT coalesce(sum({counted}), 0) FROM {catalogue}.{files} "
        "JOIN chosen USING (table_id) WHERE end_snapshot IS NULL)"
        for files, counted in (
            ("ducklake_data_file", "record_count"),
            ("ducklake_delete_file", "delete_count"),
        )
    )
    [[rows]] = database.fetch(
        f"WITH chosen AS (SELECT table_id FROM {catalogue}.ducklake_table AS tables "
        f"JOIN {catalogue}.ducklake_schema AS schemas USING (schema_id) "
        "WHERE tables.end_snapshot IS NULL AND schemas.end_snapshot IS NULL "
        f"AND schema_name = $1 AND starts_with(table_name, $2)) SELECT {stored} - {deleted}",
        [dataset, prefix],
    )
    return {"rows": int(rows)}
