"""What insertAll and load jobs would cost, by bodies as the daemon sends them."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest

from consumer.local.bill.bigquery import ROW_MINIMUM_BYTES, BigQuery, Tables
from consumer.local.bill.layer import Exchange
from consumer.local.bill.meter import Meter
from consumer.sinks.bigquery.load.requests import multipart
from tests.unit.local.bill.test_layer import scope

TABLE = "/bigquery/v2/projects/p/datasets/d/tables"
UPLOAD = "/upload/bigquery/v2/projects/p/jobs"
SCHEMA = {
    "tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"},
    "schema": {
        "fields": [{"name": "time", "type": "TIMESTAMP"}, {"name": "log", "type": "JSON", "mode": "REQUIRED"}]
    },
}
JOB = json.dumps({"configuration": {"load": {"destinationTable": {"tableId": "t"}}}}).encode()
OK = b'{"kind":"bigquery#tableDataInsertAllResponse"}'


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def bigquery(meter: Meter) -> BigQuery:
    account = BigQuery(meter, Tables())
    account.account(exchange("GET", f"{TABLE}/t", answer=json.dumps(SCHEMA).encode()))
    meter.reset()
    return account


def exchange(
    method: str, path: str, body: bytes = b"", *, status: int = 200, answer: bytes = OK, query: str = "",
    location: str = "",
) -> Exchange:  # fmt: skip
    headers = [(b"Location", location.encode())] if location else []
    return Exchange(scope(method, path, query.encode()), [body], status, headers, [answer])


def row(log: str) -> dict[str, Any]:
    return {"insertId": "i", "json": {"time": "2026-01-01T00:00:00Z", "log": log}}


def body(*logs: str) -> bytes:
    return json.dumps({"rows": [row(log) for log in logs]}).encode()


def counted(meter: Meter, *items: str) -> Mapping[str, float]:
    counts = meter.counts()
    return {item: counts[item] for item in items if item in counts}


INSERTED = ("insert_all_rows", "insert_all_bytes", "bigquery_stored_bytes")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_streamed_row_is_billed_as_1_kilobyte_at_least(meter: Meter, bigquery: BigQuery, pack: Any) -> None:
    packed = pack(body("x" * 100, "x" * 2000))
    bigquery.account(exchange("POST", f"{TABLE}/t/insertAll", packed))
    assert counted(meter, *INSERTED) == {
        "insert_all_rows": 2,
        "insert_all_bytes": ROW_MINIMUM_BYTES + 2008,
        "bigquery_stored_bytes": 108 + 2008,
    }


def test_rows_that_are_refused_cost_nothing(meter: Meter, bigquery: BigQuery) -> None:
    answer = b'{"insertErrors":[{"index":0,"errors":[{"reason":"invalid"}]}]}'
    insert = f"{TABLE}/t/insertAll"
    bigquery.account(exchange("POST", insert, body("a", "b"), answer=answer))
    bigquery.account(exchange("POST", insert, body("a", "b"), status=503))
    assert meter.counts()["insert_all_rows"] == 1


def test_what_is_sent_counts_whatever_comes_of_it(meter: Meter, bigquery: BigQuery) -> None:
    exchanges = [
        exchange("POST", f"{TABLE}/t/insertAll", gzip.compress(body("a")), status=status)
        for status in (200, 503, 0)
    ]
    for each in exchanges:
        bigquery.account(each)
    assert counted(meter, "google_sent_bytes", "google_unsigned_requests") == {
        "google_sent_bytes": 3 * exchanges[0].sent_bytes(),
        "google_unsigned_requests": 3,
    }


def test_a_request_with_a_token_needs_none_added(meter: Meter, bigquery: BigQuery) -> None:
    signed = Exchange(scope("GET", f"{TABLE}/t", authorization="Bearer x"), [], 404)
    bigquery.account(signed)
    assert meter.counts()["google_unsigned_requests"] == 0


def test_what_the_tools_ask_is_not_counted(meter: Meter, bigquery: BigQuery) -> None:
    for path in ("/bigquery/v2/projects/p/queries", "/bigquery/v2/projects/p/queries/1"):
        bigquery.account(exchange("GET", path))
    assert meter.counts() == {}


def test_lists_of_tables_teach_nothing(meter: Meter, bigquery: BigQuery) -> None:
    bigquery.account(exchange("GET", TABLE, answer=b'{"kind":"bigquery#tableList","tables":[]}'))
    bigquery.account(exchange("POST", f"{TABLE}/t/insertAll", body("x" * 2000)))
    assert meter.counts()["bigquery_stored_bytes"] == 2008


LINES = b'{"time":"2026-01-01T00:00:00Z","log":"abc"}\n{"log":"de"}\n'


def test_a_load_job_with_its_file_is_counted_and_its_rows_are_stored(
    meter: Meter, bigquery: BigQuery
) -> None:
    file = gzip.compress(LINES)
    bigquery.account(
        exchange("POST", UPLOAD, multipart(JOB, file), query="uploadType=multipart", answer=b"{}")
    )
    assert counted(meter, "load_jobs", "load_rows", "bigquery_stored_bytes") == {
        "load_jobs": 1,
        "load_rows": 2,
        "bigquery_stored_bytes": 8 + 3 + 2,
    }


def test_a_file_that_comes_later_belongs_to_the_job_that_waits_for_it(
    meter: Meter, bigquery: BigQuery
) -> None:
    file = gzip.compress(LINES)
    place = f"http://localhost{UPLOAD}?uploadType=resumable&upload_id=7"
    bigquery.account(exchange("POST", UPLOAD, JOB, query="uploadType=resumable", location=place, answer=b""))
    assert "load_jobs" not in meter.counts()
    bigquery.account(exchange("PUT", UPLOAD, file, query="uploadType=resumable&upload_id=7", answer=b"{}"))
    assert counted(meter, "load_jobs", "load_bytes", "bigquery_stored_bytes") == {
        "load_jobs": 1,
        "load_bytes": len(file),
        "bigquery_stored_bytes": 13,
    }
