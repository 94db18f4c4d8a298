"""The view over all tables: made when it is missing, rewritten when tables or columns have changed."""

from __future__ import annotations

from google.cloud import bigquery

from consumer.daemon.prepare.bigquery_api import BigQueryApi, NotFound
from consumer.daemon.prepare.preparation import Mendable, Step
from consumer.domain.routing import table_names
from consumer.settings import Settings
from consumer.settings.columns import expected_columns

_READS = "bigquery.tables.getData"
"""Whoever writes a view has to be allowed to query its tables; the refusal of that names no permission."""


def view_steps(settings: Settings, client: bigquery.Client | None = None) -> list[Step]:
    """One step where `bigquery.view` is set, to be done after the tables."""
    name = settings.optional_text("bigquery.view")
    if name is None:
        return []
    api = BigQueryApi(settings, client)
    dataset = f"{settings.text('bigquery.project')}.{settings.text('bigquery.dataset')}"
    return [lambda: ensure_view(api, f"{dataset}.{name}", view_query(settings))]


def view_query(settings: Settings) -> str:
    """Every column by its name, since tables may have more of them, and in another order."""
    columns = ", ".join(f"`{column.name}`" for column in expected_columns(settings))
    dataset = f"{settings.text('bigquery.project')}.{settings.text('bigquery.dataset')}"
    names = table_names(settings.text("bigquery.table_prefix"), settings.integer("bigquery.key_digits"))
    return "\nUNION ALL\n".join(f"SELECT {columns} FROM `{dataset}.{name}`" for name in names)


def ensure_view(api: BigQueryApi, path: str, query: str) -> str:
    """Raises Mendable where something else has the view's name."""
    try:
        view = api.ask(lambda: api.client.get_table(path, **api.once), "bigquery.tables.get")
    except NotFound:
        view = bigquery.Table(path)
        view.view_query = query
        api.ask(
            lambda: api.client.create_table(view, exists_ok=True, **api.once),
            "bigquery.tables.create",
            _READS,
        )
        return f"view {path} is made"
    if view.table_type != "VIEW":
        raise Mendable(f"bigquery.view: {path} is there, and is no view but a {view.table_type}")
    if view.view_query == query:
        return f"view {path} is there"
    view.view_query = query
    api.ask(
        lambda: api.client.update_table(view, ["view_query"], **api.once), "bigquery.tables.update", _READS
    )
    return f"view {path} is rewritten"
