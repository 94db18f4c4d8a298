"""What bin/chaos with hostile records gives to the embedded BigQuery is told again as it was, or refused."""

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery as google_bigquery

from consumer.local.verify import canonical
from tests.chaos.hostile import small_kinds
from tests.functional.conftest import Embedded
from tests.hostile.kinds import DELIVERED, SMALL_BYTES, Kind
from tests.hostile.payloads import Mark

TABLE = "local.player_logs.hostile"


def client_of(embedded: Embedded) -> google_bigquery.Client:
    return google_bigquery.Client(
        project="local",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": embedded.url},
    )


def payload_of(number: int, kind: Kind) -> bytes:
    return kind.build(Mark(b'"log_id":"7-%010d"' % number), SMALL_BYTES)


def test_every_kind_that_may_be_delivered_is_told_again_and_half_surrogates_are_refused(
    embedded: Embedded,
) -> None:
    client = client_of(embedded)
    fields = [("number", "INTEGER"), ("log", "JSON")]
    columns = [google_bigquery.SchemaField(name, kind) for name, kind in fields]
    client.create_table(google_bigquery.Table(TABLE, schema=columns))
    put = {
        number: payload_of(number, kind)
        for number, kind in enumerate(small_kinds())
        if {DELIVERED, "not_unicode"} & kind.bigquery
    }
    taken = {number for number, kind in enumerate(small_kinds()) if DELIVERED in kind.bigquery}
    rows = [{"number": number, "log": payload.decode()} for number, payload in put.items()]
    refused = client.insert_rows_json(TABLE, rows, skip_invalid_rows=True)
    assert {rows[entry["index"]]["number"] for entry in refused} == put.keys() - taken
    told = dict(
        row.values() for row in client.query_and_wait(f"SELECT number, TO_JSON_STRING(log) FROM `{TABLE}`")
    )
    assert told.keys() == taken
    assert [number for number in taken if canonical(told[number].encode()) != canonical(put[number])] == []
