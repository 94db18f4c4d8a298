"""Makes the dataset and the tables, checks those that are there, and waits until every table takes rows.

A table just created answers 404 to inserts for seconds to minutes. One row with a column that does not exist
tells: BigQuery inserts nothing and answers with an error for the row as soon as the table is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import google.auth.exceptions
import requests.exceptions
from google.api_core import exceptions as google_exceptions
from google.cloud import bigquery

from consumer.daemon.preparation import NotReady, Step, Unreachable, Unusable
from consumer.daemon.table_schema import differences, expected_columns
from consumer.domain.routing import table_names
from consumer.settings import Settings
from consumer.settings.schema import Column, canonical_type
from consumer.sinks.google_identity import GoogleIdentity

_PROBE_ROW = {"__is_this_table_ready": True}

_TRANSIENT = (
    google_exceptions.ServerError,
    google_exceptions.TooManyRequests,
    google_exceptions.RetryError,
    requests.exceptions.Timeout,
)
_RATE_REASONS = ("rateLimitExceeded", "quotaExceeded")


class BigQueryTables:
    """The tables of one daemon. All methods block for one or a few requests and repeat none."""

    def __init__(self, settings: Settings, client: bigquery.Client | None = None) -> None:
        self._settings = settings
        self._client = client or _client(settings)
        self._project = settings.text("bigquery.project")
        self._dataset = settings.text("bigquery.dataset")
        self._columns = expected_columns(settings)
        timeout = (settings.seconds("bigquery.connect_timeout"), settings.seconds("bigquery.read_timeout"))
        self._once: dict[str, Any] = {"retry": None, "timeout": timeout}

    def ensure_dataset(self) -> str:
        """Makes the dataset unless it is there."""
        if self.finds_dataset():
            return f"dataset {self._project}.{self._dataset} is there"
        dataset = bigquery.Dataset(bigquery.DatasetReference(self._project, self._dataset))
        dataset.location = self._settings.text("bigquery.location")
        try:
            self._ask(lambda: self._client.create_dataset(dataset, exists_ok=True, **self._once))
        except google_exceptions.NotFound as error:
            raise Unusable(f'bigquery.project: project "{self._project}" does not exist') from error
        return f"dataset {self._project}.{self._dataset} is made, in {dataset.location}"

    def finds_dataset(self) -> bool:
        reference = bigquery.DatasetReference(self._project, self._dataset)
        try:
            self._ask(lambda: self._client.get_dataset(reference, **self._once))
        except google_exceptions.NotFound:
            return False
        return True

    def names(self) -> list[str]:
        return table_names(
            self._settings.text("bigquery.table_prefix"), self._settings.integer("bigquery.key_digits")
        )

    def table_steps(self) -> list[Step]:
        """One step for each table, to be done after the dataset; they may run at once."""
        return [_TableStep(self, name) for name in self.names()]

    def ensure_table(self, name: str) -> str:
        """Makes the table, or checks the one that is there; raises Unusable with every difference."""
        if self.finds_table(name):
            return f"table {self._path(name)} takes rows"
        self._ask(lambda: self._client.create_table(self._new_table(name), exists_ok=True, **self._once))
        return f"table {self._path(name)} is made and takes rows"

    def finds_table(self, name: str) -> bool:
        """Whether the table is there; raises Unusable with every difference when it is not as it has to be."""
        try:
            table = self._ask(lambda: self._client.get_table(self._path(name), **self._once))
        except google_exceptions.NotFound:
            return False
        faults = [*self._partition_faults(table), *differences(self._columns, _columns(table.schema))]
        if faults:
            raise Unusable(f"{self._schema_key()}: {'; '.join(faults)}", subject=f"table {self._path(name)}")
        return True

    def probe(self, name: str) -> None:
        """Raises NotReady unless the table takes rows."""
        try:
            errors = self._ask(
                lambda: self._client.insert_rows_json(
                    self._path(name), [_PROBE_ROW], row_ids=[None], **self._once
                )
            )
        except google_exceptions.NotFound as error:
            raise NotReady(f"table {self._path(name)} does not take rows yet") from error
        if not errors:
            raise Unusable(f"table {self._path(name)} took a row with a column that does not exist")

    def _path(self, name: str) -> str:
        return f"{self._project}.{self._dataset}.{name}"

    def _schema_key(self) -> str:
        row = self._settings.text("bigquery.row")
        return "bigquery.schema_file" if row == "fields" else "bigquery.row = log"

    def _new_table(self, name: str) -> bigquery.Table:
        table = bigquery.Table(self._path(name), schema=[_field(column) for column in self._columns])
        table.time_partitioning = bigquery.TimePartitioning(
            type_=bigquery.TimePartitioningType.DAY, field=self._settings.text("bigquery.partition_field")
        )
        table.clustering_fields = [self._settings.text("record.key_field")]
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

    def _ask[Answer](self, ask: Callable[[], Answer]) -> Answer:
        """The answer; lets NotFound through, turns everything else into Unusable or NotReady."""
        where = self._settings.optional_text("bigquery.api_endpoint") or "Google"
        try:
            return ask()
        except google_exceptions.NotFound:
            raise
        except _TRANSIENT as error:
            raise NotReady(f"BigQuery at {where} answers {_one_line(error)}") from error
        except requests.exceptions.ConnectionError as error:
            key = "bigquery.api_endpoint"
            raise Unreachable(f"{key}: nothing answers for BigQuery at {where}") from error
        except google.auth.exceptions.GoogleAuthError as error:
            raise Unusable(f"bigquery.credentials: {_one_line(error)}") from error
        except google_exceptions.Forbidden as error:
            if any(reason in str(error.errors) for reason in _RATE_REASONS):
                raise NotReady(f"BigQuery at {where} answers {_one_line(error)}") from error
            raise Unusable(f"bigquery.project, bigquery.dataset: not allowed: {_one_line(error)}") from error
        except google_exceptions.GoogleAPICallError as error:
            raise Unusable(f"bigquery: {_one_line(error)}") from error


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


def _client(settings: Settings) -> bigquery.Client:
    endpoint = settings.optional_text("bigquery.api_endpoint")
    options: dict[str, Any] = {"client_options": {"api_endpoint": endpoint}} if endpoint else {}
    try:
        return bigquery.Client(
            project=settings.text("bigquery.project"),
            location=settings.text("bigquery.location"),
            credentials=GoogleIdentity.of(settings).credentials(),
            **options,
        )
    except google.auth.exceptions.GoogleAuthError as error:
        raise Unusable(f"bigquery.credentials: {_one_line(error)}") from error


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
