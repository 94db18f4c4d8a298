from collections.abc import Callable
from unittest.mock import Mock, create_autospec

import pytest
import requests.exceptions
from google.api_core import exceptions as google_exceptions
from google.cloud import bigquery

from consumer.daemon.bigquery_tables import BigQueryTables
from consumer.daemon.preparation import NotReady, Unreachable, Unusable
from consumer.settings import load

REFUSED_ROW = [{"index": 0, "errors": [{"reason": "invalid", "message": "no such field"}]}]
COLUMNS = [
    bigquery.SchemaField("player_id", "STRING"),
    bigquery.SchemaField("time", "TIMESTAMP", mode="REQUIRED"),
    bigquery.SchemaField("log", "JSON"),
]


def failure(kind: Callable[..., Exception], message: str, **details: object) -> Exception:
    """An answer of the API; the library's own constructors are without types."""
    return kind(message, **details)


@pytest.fixture
def client() -> Mock:
    client: Mock = create_autospec(bigquery.Client, instance=True)
    client.insert_rows_json.return_value = REFUSED_ROW
    return client


@pytest.fixture
def tables(client: Mock) -> BigQueryTables:
    overrides = {"bigquery.project": "project", "bigquery.dataset": "logs", "deadletter.bucket": "bucket"}
    return BigQueryTables(load("bigquery", overrides=overrides), client)


def existing(columns: list[bigquery.SchemaField], *, partitioned: bool = True) -> bigquery.Table:
    table = bigquery.Table("project.logs.player_log_0", schema=columns)
    if partitioned:
        table.time_partitioning = bigquery.TimePartitioning(type_="DAY", field="time")
    return table


def test_a_missing_dataset_is_made_and_one_that_is_there_is_not(tables: BigQueryTables, client: Mock) -> None:
    assert tables.ensure_dataset() == "dataset project.logs is there"
    client.create_dataset.assert_not_called()
    client.get_dataset.side_effect = failure(google_exceptions.NotFound, "no")
    assert tables.ensure_dataset() == "dataset project.logs is made, in US"
    assert client.create_dataset.call_args.args[0].location == "US"


def test_a_project_that_does_not_exist_names_the_setting(tables: BigQueryTables, client: Mock) -> None:
    client.get_dataset.side_effect = failure(google_exceptions.NotFound, "no")
    client.create_dataset.side_effect = failure(google_exceptions.NotFound, "no")
    with pytest.raises(Unusable, match=r'^bigquery\.project: project "project" does not exist$'):
        tables.ensure_dataset()


def test_there_is_a_step_for_each_table(tables: BigQueryTables) -> None:
    assert len(tables.table_steps()) == 16


def test_a_missing_table_is_made_partitioned_by_day_and_clustered(
    tables: BigQueryTables, client: Mock
) -> None:
    client.get_table.side_effect = failure(google_exceptions.NotFound, "no")
    assert tables.table_steps()[10]() == "table project.logs.player_log_a is made and takes rows"
    made = client.create_table.call_args.args[0]
    assert made.table_id == "player_log_a"
    assert [(field.name, field.field_type, field.mode) for field in made.schema] == [
        (field.name, field.field_type, field.mode) for field in COLUMNS
    ]
    assert (made.time_partitioning.type_, made.time_partitioning.field) == ("DAY", "time")
    assert made.clustering_fields == ["player_id"]


def test_a_table_is_made_once_and_waited_for_until_it_refuses_the_probe(
    tables: BigQueryTables, client: Mock
) -> None:
    client.get_table.side_effect = failure(google_exceptions.NotFound, "no")
    client.insert_rows_json.side_effect = [failure(google_exceptions.NotFound, "not yet"), REFUSED_ROW]
    step = tables.table_steps()[0]
    with pytest.raises(NotReady, match="does not take rows yet"):
        step()
    step()
    client.create_table.assert_called_once()


def test_a_table_that_takes_the_probe_is_no_table_of_ours(tables: BigQueryTables, client: Mock) -> None:
    client.insert_rows_json.return_value = []
    with pytest.raises(Unusable, match="a column that does not exist"):
        tables.probe("player_log_0")


def test_an_existing_table_that_fits_is_left_alone(tables: BigQueryTables, client: Mock) -> None:
    client.get_table.return_value = existing([*COLUMNS, bigquery.SchemaField("more", "STRING")])
    assert tables.table_steps()[0]() == "table project.logs.player_log_0 takes rows"
    client.create_table.assert_not_called()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (existing(COLUMNS[:2]), "column log (NULLABLE JSON) is missing"),
        (existing([*COLUMNS[:2], bigquery.SchemaField("log", "STRING")]), "column log is STRING, not JSON"),
        (existing(COLUMNS, partitioned=False), "it is not partitioned, which has to be by day on time"),
    ],
)
def test_an_existing_table_that_does_not_fit_is_refused(
    tables: BigQueryTables, client: Mock, table: bigquery.Table, message: str
) -> None:
    client.get_table.return_value = table
    with pytest.raises(Unusable) as refusal:
        tables.ensure_table("player_log_0")
    assert str(refusal.value) == f"bigquery.row = log: {message} (table project.logs.player_log_0)"


def test_a_table_partitioned_otherwise_is_refused(tables: BigQueryTables, client: Mock) -> None:
    table = existing(COLUMNS)
    table.time_partitioning = bigquery.TimePartitioning(type_="HOUR")
    client.get_table.return_value = table
    with pytest.raises(
        Unusable, match="it is partitioned by HOUR on the time of insertion, not by DAY on time"
    ):
        tables.ensure_table("player_log_0")


def forbidden(reason: str) -> Exception:
    return failure(google_exceptions.Forbidden, "no", errors=[{"reason": reason}])


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [
        (
            failure(google_exceptions.ServiceUnavailable, "x\ny"),
            NotReady,
            "BigQuery at Google answers 503 x y",
        ),
        (failure(google_exceptions.TooManyRequests, "x"), NotReady, "answers 429"),
        (requests.exceptions.ReadTimeout("x"), NotReady, "answers x"),
        (requests.exceptions.ConnectTimeout("x"), NotReady, "answers x"),
        (requests.exceptions.ConnectionError("x"), Unreachable, "bigquery.api_endpoint: nothing answers"),
        (forbidden("rateLimitExceeded"), NotReady, "answers 403"),
        (forbidden("accessDenied"), Unusable, "bigquery.project, bigquery.dataset: not allowed"),
        (failure(google_exceptions.BadRequest, "x"), Unusable, "bigquery: 400 x"),
    ],
)
def test_what_bigquery_answers_is_waited_for_or_told(
    tables: BigQueryTables, client: Mock, error: Exception, outcome: type[Exception], message: str
) -> None:
    asks: tuple[tuple[Mock, Callable[[], object]], ...] = (
        (client.get_dataset, tables.ensure_dataset),
        (client.get_table, lambda: tables.ensure_table("player_log_0")),
        (client.insert_rows_json, lambda: tables.probe("player_log_0")),
    )
    for method, ask in asks:
        method.side_effect = error
        with pytest.raises(outcome) as raised:
            ask()
        assert type(raised.value) is outcome
        assert message in str(raised.value)


def test_no_request_is_repeated_by_the_client_itself(tables: BigQueryTables, client: Mock) -> None:
    tables.ensure_dataset()
    tables.probe("player_log_0")
    for method in (client.get_dataset, client.insert_rows_json):
        assert method.call_args.kwargs["retry"] is None
        assert method.call_args.kwargs["timeout"] == (5.0, 60.0)
