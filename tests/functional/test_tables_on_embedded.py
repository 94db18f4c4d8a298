"""Tables on the embedded BigQuery: a conflict that is mended while the supervisor waits, and the view over all."""

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery as google_bigquery

from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.bigquery_view import view_steps
from consumer.daemon.prepare.preparation import Patience, prepare
from consumer.daemon.report.log import Log
from consumer.settings import Settings
from tests.functional.conftest import Embedded
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import bigquery_settings


def client_of(settings: Settings, endpoint: str) -> google_bigquery.Client:
    return google_bigquery.Client(
        project=settings.text("bigquery.project"),
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": endpoint},
    )


def test_a_conflict_is_told_until_it_is_mended_then_the_tables_are_ready_and_the_view_reads_them(
    embedded: Embedded, bigquery: BigQueryStub, s3: S3Stub
) -> None:
    changes = {
        "bigquery.api_endpoint": embedded.url,
        "bigquery.table_prefix": "conflict",
        "bigquery.view": "all_conflicts",
        "bigquery.labels": "team=games",
        "bigquery.partition_expiry_days": "3650",
    }
    settings = bigquery_settings(bigquery, s3, changes)
    client = client_of(settings, embedded.url)
    tables = BigQueryTables(settings)
    tables.ensure_dataset()
    wrong = google_bigquery.Table(
        "local-project.player_logs.conflict_3", schema=[google_bigquery.SchemaField("log", "STRING")]
    )
    client.create_table(wrong)
    told: list[tuple[str, ...]] = []

    def mend(seconds: float) -> bool:
        client.delete_table(wrong, not_found_ok=True)
        return False

    patience = Patience(timeout_seconds=60, monotonic=lambda: 0.0, pause=mend, tell=told.append)
    log = Log(backend="bigquery", level="ERROR", clock=lambda: 0.0, write=lambda line: None)
    prepare(tables.table_steps(), patience=patience, log=log)
    [fault] = told[0]
    assert fault.startswith(
        "bigquery.row = log: it is not partitioned, which has to be by day on time; column"
    )
    assert fault.endswith("(table local-project.player_logs.conflict_3)")
    assert told[-1] == ()

    prepare(view_steps(settings), patience=patience, log=log)
    for digit in "3f":
        row = {"player_id": digit, "time": "2023-11-14T22:00:00Z", "log": "{}"}
        assert client.insert_rows_json(f"local-project.player_logs.conflict_{digit}", [row]) == []
    found = client.query_and_wait("SELECT player_id FROM player_logs.all_conflicts ORDER BY 1")
    assert [row["player_id"] for row in found] == ["3", "f"]
    assert [step() for step in view_steps(settings)] == [
        "view local-project.player_logs.all_conflicts is there"
    ]
