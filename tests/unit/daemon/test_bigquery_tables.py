from collections.abc import Callable
from unittest.mock import Mock, create_autospec

import pytest
import requests.exceptions
from google.api_core import exceptions as google_exceptions
from google.cloud import bigquery
from urllib3.exceptions import ProtocolError

from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.preparation import (
    Mendable,
    NotReady,
    Patience,
    Step,
    Unreachable,
    Unusable,
    prepare,
)
from consumer.daemon.report.log import Log
from consumer.settings import Settings, load

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
    client.get_dataset.return_value = dataset("US")
    return client


def dataset(location: str) -> bigquery.Dataset:
    found = bigquery.Dataset("project.logs")
    found.location = location
    return found


def settings(**overrides: str) -> Settings:
    named = {f"bigquery.{key}": text for key, text in overrides.items()}
    given = {"bigquery.project": "project", "bigquery.dataset": "logs", "deadletter.bucket": "bucket"}
    return load("bigquery", overrides={**given, **named})


@pytest.fixture
def tables(client: Mock) -> BigQueryTables:
    return BigQueryTables(settings(), client)


def existing(
    columns: list[bigquery.SchemaField],
    *,
    partitioned: bool = True,
    path: str = "project.logs.player_log_0",
) -> bigquery.Table:
    table = bigquery.Table(path, schema=columns)
    if partitioned:
        table.time_partitioning = bigquery.TimePartitioning(type_="DAY", field="time")
    table.clustering_fields = ["player_id"]
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
        (
            requests.exceptions.ConnectionError(ProtocolError("reset", ConnectionResetError(104, "by peer"))),
            NotReady,
            "BigQuery at Google: ('reset'",
        ),
        (requests.exceptions.ConnectionError("x"), Unreachable, "bigquery.api_endpoint: nothing answers"),
        (forbidden("rateLimitExceeded"), NotReady, "answers 403"),
        (forbidden("accessDenied"), Mendable, "bigquery.project, bigquery.dataset: not allowed"),
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


def test_a_new_table_gets_the_options_of_the_settings(client: Mock) -> None:
    client.get_table.side_effect = failure(google_exceptions.NotFound, "no")
    tables = BigQueryTables(
        settings(
            clustering="player_id, time",
            partition_expiry_days="90",
            table_description="What players did",
            labels="team=games,stage=live",
            require_partition_filter="true",
        ),
        client,
    )
    tables.ensure_table("player_log_0")
    made = client.create_table.call_args.args[0].to_api_repr()
    assert made["timePartitioning"] == {"type": "DAY", "field": "time", "expirationMs": "7776000000"}
    assert made["clustering"] == {"fields": ["player_id", "time"]}
    assert made["description"] == "What players did"
    assert made["labels"] == {"team": "games", "stage": "live"}
    assert made["requirePartitionFilter"] is True


def test_a_new_table_without_options_has_none(tables: BigQueryTables, client: Mock) -> None:
    client.get_table.side_effect = failure(google_exceptions.NotFound, "no")
    tables.ensure_table("player_log_0")
    made = client.create_table.call_args.args[0].to_api_repr()
    assert made["timePartitioning"] == {"type": "DAY", "field": "time"}
    assert not {"description", "requirePartitionFilter"} & {key for key, value in made.items() if value}


def test_an_existing_table_with_other_options_is_taken_and_told(client: Mock) -> None:
    client.get_table.return_value = existing(COLUMNS)
    tables = BigQueryTables(settings(labels="team=games", partition_expiry_days="30"), client)
    assert tables.ensure_table("player_log_0") == (
        "table project.logs.player_log_0 takes rows (it was made with other options:"
        " partition_expiry_days is unset, not 30; labels is unset, not team=games)"
    )
    client.update_table.assert_not_called()


@pytest.mark.parametrize(
    ("digits", "names"),
    [
        ("0", ["player_log"]),
        ("1", [f"player_log_{number:x}" for number in range(16)]),
        ("2", [f"player_log_{number:02x}" for number in range(256)]),
    ],
)
def test_every_table_that_a_record_can_go_to_is_made(client: Mock, digits: str, names: list[str]) -> None:
    client.get_table.side_effect = failure(google_exceptions.NotFound, "no")
    for step in BigQueryTables(settings(key_digits=digits), client).table_steps():
        step()
    assert [call.args[0].table_id for call in client.create_table.call_args_list] == names


def test_missing_columns_are_added_when_that_is_wanted(client: Mock) -> None:
    client.get_table.return_value = existing(COLUMNS[:2])
    client.update_table.side_effect = lambda changed, fields, **options: changed
    tables = BigQueryTables(settings(add_columns="true", metadata_columns="true"), client)
    assert tables.finds_table("player_log_0")
    client.update_table.assert_not_called()
    client.get_table.return_value = existing(
        [bigquery.SchemaField("id", "STRING", description="kept"), *COLUMNS[:2]]
    )
    assert tables.ensure_table("player_log_0").startswith("table project.logs.player_log_0 takes rows")
    changed, fields = client.update_table.call_args.args
    assert fields == ["schema"]
    assert [(field.name, field.field_type, field.mode) for field in changed.schema[3:]] == [
        ("log", "JSON", "NULLABLE"),
        ("_shard", "STRING", "NULLABLE"),
        ("_sequence_number", "STRING", "NULLABLE"),
        ("_arrived_at", "TIMESTAMP", "NULLABLE"),
    ]
    assert changed.schema[0].description == "kept"


def test_a_missing_required_column_cannot_be_added(client: Mock) -> None:
    client.get_table.return_value = existing([COLUMNS[0], COLUMNS[2]])
    tables = BigQueryTables(settings(add_columns="true"), client)
    with pytest.raises(Mendable, match=r"column time \(REQUIRED TIMESTAMP\) is missing"):
        tables.ensure_table("player_log_0")
    client.update_table.assert_not_called()


def test_a_table_is_waited_for_until_inserts_know_its_new_columns(client: Mock) -> None:
    client.get_table.return_value = existing(COLUMNS)
    tables = BigQueryTables(settings(add_columns="true"), client)
    unknown = [{"index": 0, "errors": [{"reason": "invalid", "message": "no such field: log."}]}]
    stopped = [{"index": 0, "errors": [{"reason": "stopped"}]}]
    refused = [{"index": 1, "errors": [{"reason": "invalid", "message": "no such field: __is."}]}]
    client.insert_rows_json.return_value = unknown + refused
    with pytest.raises(NotReady, match="with its new columns"):
        tables.probe("player_log_0")
    client.insert_rows_json.return_value = stopped + refused
    tables.probe("player_log_0")
    assert client.insert_rows_json.call_args.args[1][0] == {"player_id": None, "time": None, "log": None}


class World:
    """A fake clock, and what is said while it runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.told: list[tuple[str, ...]] = []
        self.log = Log(backend="bigquery", level="DEBUG", clock=lambda: 0.0, write=self.lines.append)
        self.patience = Patience(
            timeout_seconds=900, monotonic=lambda: self.now, pause=self._pause, tell=self.told.append
        )

    def _pause(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def errors(self) -> list[str]:
        return [line.split("bigquery: ", 1)[1] for line in self.lines if "ERROR" in line]


def test_tables_that_take_no_rows_for_a_minute_after_they_were_made_are_waited_for(
    tables: BigQueryTables, client: Mock
) -> None:
    world = World()
    client.get_table.side_effect = failure(google_exceptions.NotFound, "no")

    def insert(path: str, rows: object, **options: object) -> list[dict[str, object]]:
        if world.now < 60:
            raise failure(google_exceptions.NotFound, f"Not found: Table {path}")
        return [*REFUSED_ROW]

    client.insert_rows_json.side_effect = insert
    prepare(tables.table_steps(), patience=world.patience, log=world.log)
    assert 60 <= world.now < 75
    assert client.create_table.call_count == 16
    warnings = [line for line in world.lines if "WARNING" in line]
    assert "does not take rows yet (table project.logs.player_log_0, " in warnings[0]
    assert "and 14 more); asking again in 0.2 s" in warnings[0]
    assert len(warnings) < 15
    assert sum(line.endswith("is made and takes rows") for line in world.lines) == 16


def held_until_mended(world: World, steps: list[Step], mend: Callable[[], None]) -> list[str]:
    """The error lines of an hour in which nothing is mended, then preparation comes to its end by itself."""

    def pause(seconds: float) -> bool:
        world.now += seconds
        if world.now > 3600:
            mend()
        return False

    patience = Patience(timeout_seconds=900, monotonic=lambda: world.now, pause=pause, tell=world.told.append)
    prepare(steps, patience=patience, log=world.log)
    assert 3600 < world.now < 3700
    assert world.told[-1] == ()
    return world.errors()


HELD = "; nothing is delivered until that is mended, then it starts by itself"


def test_a_dataset_in_another_location_is_one_clear_message_until_it_is_cured(
    tables: BigQueryTables, client: Mock
) -> None:
    client.get_dataset.return_value = dataset("europe-west1")

    def mend() -> None:
        client.get_dataset.return_value = dataset("us")

    errors = held_until_mended(World(), [tables.ensure_dataset], mend)
    assert set(errors) == {f"bigquery.location: dataset project.logs is in europe-west1, not in US{HELD}"}


def test_a_missing_permission_is_one_clear_message_for_all_tables_until_it_is_cured(
    tables: BigQueryTables, client: Mock
) -> None:
    def denied(path: str, **options: object) -> None:
        text = f"Access Denied: Table {path}: Permission bigquery.tables.get denied on table {path}"
        raise failure(google_exceptions.Forbidden, text, errors=[{"reason": "accessDenied"}])

    client.get_table.side_effect = denied

    def mend() -> None:
        client.get_table.side_effect = None
        client.get_table.return_value = existing(COLUMNS)

    errors = held_until_mended(World(), tables.table_steps(), mend)
    assert set(errors) == {
        (
            "bigquery.project, bigquery.dataset: not allowed: 403 Access Denied: Table project.logs.<table>:"
            " Permission bigquery.tables.get denied on table project.logs.<table>:"
            " give the role bigquery.tables.get (docs/permissions.md)"
            f" (table project.logs.player_log_0, table project.logs.player_log_1 and 14 more){HELD}"
        )
    }


def test_a_conflicting_schema_is_one_clear_message_for_all_tables_until_it_is_cured(
    tables: BigQueryTables, client: Mock
) -> None:
    def get(path: str, **options: object) -> bigquery.Table:
        return existing([COLUMNS[0], COLUMNS[1], bigquery.SchemaField("log", "STRING")], path=path)

    client.get_table.side_effect = get

    def mend() -> None:
        client.get_table.side_effect = None
        client.get_table.return_value = existing(COLUMNS)

    errors = held_until_mended(World(), tables.table_steps(), mend)
    assert set(errors) == {
        (
            "bigquery.row = log: column log is STRING, not JSON"
            f" (table project.logs.player_log_0, table project.logs.player_log_1 and 14 more){HELD}"
        )
    }
