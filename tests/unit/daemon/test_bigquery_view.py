from unittest.mock import Mock, create_autospec

import pytest
from google.api_core import exceptions as google_exceptions
from google.cloud import bigquery

from consumer.daemon.prepare.bigquery_view import view_query, view_steps
from consumer.daemon.prepare.preparation import Mendable
from consumer.settings import Settings, load


def settings(**overrides: str) -> Settings:
    named = {f"bigquery.{key}": text for key, text in overrides.items()}
    given = {"bigquery.project": "project", "bigquery.dataset": "logs", "deadletter.bucket": "bucket"}
    return load("bigquery", overrides={**given, **named})


@pytest.fixture
def client() -> Mock:
    client: Mock = create_autospec(bigquery.Client, instance=True)
    return client


def found(query: str) -> bigquery.Table:
    return bigquery.Table.from_api_repr(
        {
            "tableReference": {"projectId": "project", "datasetId": "logs", "tableId": "all_logs"},
            "type": "VIEW",
            "view": {"query": query, "useLegacySql": False},
        }
    )


def test_without_the_setting_there_is_no_view(client: Mock) -> None:
    assert view_steps(settings(), client) == []


@pytest.mark.parametrize(("digits", "tables"), [("0", 1), ("1", 16), ("2", 256)])
def test_a_view_reads_every_table(digits: str, tables: int) -> None:
    query = view_query(settings(key_digits=digits))
    assert query.count("SELECT `player_id`, `time`, `log` FROM `project.logs.player_log") == tables
    assert query.count("UNION ALL") == tables - 1


def test_a_missing_view_is_made(client: Mock) -> None:
    client.get_table.side_effect = google_exceptions.NotFound("no")  # type: ignore[no-untyped-call]
    [step] = view_steps(settings(view="all_logs"), client)
    assert step() == "view project.logs.all_logs is made"
    assert client.create_table.call_args.args[0].view_query == view_query(settings())


def test_a_view_that_is_as_it_has_to_be_is_left_alone(client: Mock) -> None:
    client.get_table.return_value = found(view_query(settings()))
    [step] = view_steps(settings(view="all_logs"), client)
    assert step() == "view project.logs.all_logs is there"
    client.update_table.assert_not_called()


def test_a_view_over_other_tables_is_rewritten(client: Mock) -> None:
    client.get_table.return_value = found("SELECT 1")
    [step] = view_steps(settings(view="all_logs"), client)
    assert step() == "view project.logs.all_logs is rewritten"
    assert client.update_table.call_args.args[0].view_query == view_query(settings())


def test_a_table_of_that_name_is_left_alone_and_told(client: Mock) -> None:
    table = found("SELECT 1").to_api_repr() | {"type": "TABLE"}
    client.get_table.return_value = bigquery.Table.from_api_repr(table)
    [step] = view_steps(settings(view="all_logs"), client)
    with pytest.raises(Mendable, match=r"bigquery\.view: project\.logs\.all_logs is there, and is no view"):
        step()
    client.update_table.assert_not_called()
