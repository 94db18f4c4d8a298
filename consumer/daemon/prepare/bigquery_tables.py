"""Makes the dataset and the tables, checks those that are there, and waits until every table takes rows.

A table just created answers 404 to inserts for seconds to minutes. One row with a column that does not exist
tells: BigQuery inserts nothing and answers with an error for the row as soon as the table is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.cloud import bigquery

from consumer.daemon.prepare.bigquery_api import BigQueryApi, NotFound
from consumer.daemon.prepare.preparation import Mendable, NotReady, Step, Unusable
from consumer.daemon.prepare.table_options import TableOptions
from consumer.daemon.prepare.table_schema import additions, differences, with_columns
from consumer.domain.routing import table_names
from consumer.settings import Settings
from consumer.settings.columns import expected_columns
from consumer.settings.schema import Column, canonical_type

_PROBE_ROW = {"__is_this_table_ready": True}
_DAY_MS = 86_400_000


class BigQueryTables:
    """The tables of one daemon. All methods block for one or a few requests and repeat none."""

    def __init__(self, settings: Settings, client: bigquery.Client | None = None) -> None:
        self._settings = settings
        self._api = BigQueryApi(settings, client)
        self._client = self._api.client
        self._project = settings.text("bigquery.project")
        self._dataset = settings.text("bigquery.dataset")
        self._columns = expected_columns(settings)
        self._options = TableOptions.of(settings)
        self._once = self._api.once

    def ensure_dataset(self) -> str:
        """Makes the dataset unless it is there."""
        if self.finds_dataset():
            return f"dataset {self._project}.{self._dataset} is there"
        dataset = bigquery.Dataset(bigquery.DatasetReference(self._project, self._dataset))
        dataset.location = self._settings.text("bigquery.location")
        try:
            self._api.ask(
                lambda: self._client.create_dataset(dataset, exists_ok=True, **self._once),
                "bigquery.datasets.create",
            )
        except NotFound as error:
            raise Unusable(f'bigquery.project: project "{self._project}" does not exist') from error
        return f"dataset {self._project}.{self._dataset} is made, in {dataset.location}"

    def finds_dataset(self) -> bool:
        """Whether the dataset is there; raises Mendable when it is somewhere else."""
        reference = bigquery.DatasetReference(self._project, self._dataset)
        try:
            dataset = self._api.ask(
                lambda: self._client.get_dataset(reference, **self._once), "bigquery.datasets.get"
            )
        except NotFound:
            return False
        wanted, found = self._settings.text("bigquery.location"), dataset.location
        if found and found.lower() != wanted.lower():
            name = f"{self._project}.{self._dataset}"
            raise Mendable(f"bigquery.location: dataset {name} is in {found}, not in {wanted}")
        return True

    def names(self) -> list[str]:
        return table_names(
            self._settings.text("bigquery.table_prefix"), self._settings.integer("bigquery.key_digits")
        )

    def table_steps(self) -> list[Step]:
        """One step for each table, to be done after the dataset; they may run at once."""
        return [_TableStep(self, name) for name in self.names()]

    def ensure_table(self, name: str) -> str:
        """Makes the table, or checks the one that is there; raises Mendable with every difference."""
        table = self._find(name)
        if table is not None:
            if self._adds_columns_to(table):
                changed = table
                table = self._ask(
                    name, "update", lambda: self._client.update_table(changed, ["schema"], **self._once)
                )
            self._refuse_differences(table)
            return f"table {self._path(name)} takes rows{self._notes(table)}"
        self._ask(
            name,
            "create",
            lambda: self._client.create_table(self._new_table(name), exists_ok=True, **self._once),
        )
        return f"table {self._path(name)} is made and takes rows"

    def finds_table(self, name: str) -> bool:
        """Whether the table is there; raises Mendable with every difference when it is not as it has to be, and would
        not be made so at start."""
        table = self._find(name)
        if table is not None:
            self._adds_columns_to(table)
            self._refuse_differences(table)
        return table is not None

    def probe(self, name: str) -> None:
        """Raises NotReady unless the table takes rows with all columns."""
        rows = [*self._sample(), _PROBE_ROW]
        ids = [None] * len(rows)
        try:
            errors = self._ask(
                name,
                "updateData",
                lambda: self._client.insert_rows_json(self._path(name), rows, row_ids=ids, **self._once),
            )
        except NotFound as error:
            raise NotReady("does not take rows yet", subject=f"table {self._path(name)}") from error
        if not errors:
            raise Unusable(f"table {self._path(name)} took a row with a column that does not exist")
        for one in errors:
            if one.get("index") != len(rows) - 1 and "no such field" in str(one).lower():
                raise NotReady(
                    "does not take rows with its new columns yet", subject=f"table {self._path(name)}"
                )

    def _sample(self) -> list[dict[str, Any]]:
        """A row with every column, where columns may be new: inserts learn of them minutes after the table has."""
        if not self._settings.flag("bigquery.add_columns"):
            return []
        return [_empty_row(self._columns)]

    def _find(self, name: str) -> bigquery.Table | None:
        try:
            return self._ask(name, "get", lambda: self._client.get_table(self._path(name), **self._once))
        except NotFound:
            return None

    def _adds_columns_to(self, table: bigquery.Table) -> bool:
        """Puts missing columns into the table's resource where that is wanted and possible; whether any was."""
        if not self._settings.flag("bigquery.add_columns"):
            return False
        if not any(additions(self._columns, _columns(table.schema))):
            return False
        merged = with_columns(self._columns, [field.to_api_repr() for field in table.schema])
        table.schema = [bigquery.SchemaField.from_api_repr(field) for field in merged]
        return True

    def _refuse_differences(self, table: bigquery.Table) -> None:
        faults = [*self._partition_faults(table), *differences(self._columns, _columns(table.schema))]
        if faults:
            path = self._path(table.table_id)
            raise Mendable(f"{self._schema_key()}: {'; '.join(faults)}", subject=f"table {path}")

    def _notes(self, table: bigquery.Table) -> str:
        notes = "; ".join(self._options.differences(_options(table)))
        return f" (it was made with other options: {notes})" if notes else ""

    def _ask[Answer](self, name: str, permission: str, ask: Callable[[], Answer]) -> Answer:
        return self._api.ask(ask, f"bigquery.tables.{permission}", about=self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._project}.{self._dataset}.{name}"

    def _schema_key(self) -> str:
        row = self._settings.text("bigquery.row")
        return "bigquery.schema_file" if row == "fields" else "bigquery.row = log"

    def _new_table(self, name: str) -> bigquery.Table:
        table = bigquery.Table(self._path(name), schema=[_field(column) for column in self._columns])
        options = self._options
        days = options.partition_expiry_days
        table.time_partitioning = bigquery.TimePartitioning(
            type_=bigquery.TimePartitioningType.DAY,
            field=self._settings.text("bigquery.partition_field"),
            expiration_ms=None if days is None else days * _DAY_MS,
        )
        table.clustering_fields = list(options.clustering)
        table.description = options.description
        table.labels = dict(options.labels)
        if options.require_partition_filter:
            table.require_partition_filter = True
        return table

    def _partition_faults(self, table: bigquery.Table) -> list[str]:
        field = self._settings.text("bigquery.partition_field")
        partitioning = table.time_partitioning
        if partitioning is None:
            return [f"it is not partitioned, which has to be by day on {field}"]
        if partitioning.type_ != bigquery.TimePartitioningType.DAY or partitioning.field != field:
            found = f"by {partitioning.type_} on {partitioning.field or 'the time of insertion'}"
            return [f"it is partitioned {found}, not by DAY on {field}"]
        return []


class _TableStep:
    """One table: made or checked, then probed. What was made once is not asked for again while it is waited
    for."""

    def __init__(self, tables: BigQueryTables, name: str) -> None:
        self._tables = tables
        self._name = name
        self._made: str | None = None

    def __call__(self) -> str:
        if self._made is None:
            self._made = self._tables.ensure_table(self._name)
        self._tables.probe(self._name)
        return self._made


def _field(column: Column) -> bigquery.SchemaField:
    return bigquery.SchemaField(
        column.name,
        column.type,
        mode=column.mode,
        description=column.description,
        fields=[_field(inner) for inner in column.fields],
    )


def _columns(fields: Any) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=field.name,
            type=canonical_type(field.field_type),
            mode=field.mode or "NULLABLE",
            fields=_columns(field.fields),
        )
        for field in fields
    )


def _options(table: bigquery.Table) -> TableOptions:
    partitioning = table.time_partitioning
    expiry_ms = None if partitioning is None else partitioning.expiration_ms
    return TableOptions(
        clustering=tuple(table.clustering_fields or ()),
        partition_expiry_days=None if expiry_ms is None else expiry_ms // _DAY_MS,
        description=table.description,
        labels=tuple(sorted(table.labels.items())),
        require_partition_filter=bool(table.require_partition_filter),
    )


def _empty_row(columns: tuple[Column, ...]) -> dict[str, Any]:
    return {column.name: _empty_value(column) for column in columns}


def _empty_value(column: Column) -> Any:
    inner = _empty_row(column.fields) if column.fields else None
    if column.mode == "REPEATED":
        return [] if inner is None else [inner]
    return inner
