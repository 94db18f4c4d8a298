"""insertAll, load jobs and changes of tables are refused as Google does; BigQuery is played by the test."""

import gzip
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from consumer.local.limits.bigquery import BigQueryLimits
from consumer.local.limits.meters import Meters
from consumer.local.limits.table import Limits
from tests.unit.local.limits.asgi import Client
from tests.unit.local.limits.clocks import Clock

API = "/bigquery/v2/projects/p"
TABLE = f"{API}/datasets/d/tables/t"
INSERT = f"{TABLE}/insertAll"
JOBS = f"/upload{API}/jobs"
MOST = 10_485_760
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


class BigQuery:
    """A table partitioned by `time`; insertAll refuses the rows in `bad`, by their number."""

    def __init__(self, **given: float) -> None:
        self.clock = Clock()
        self.meters = Meters(
            Limits(given={name.replace("__", "."): value for name, value in given.items()}), self.clock
        )
        self.bad: set[int] = set()
        self.stored: list[Any] = []
        self.jobs: list[bytes] = []
        self.partitioning: dict[str, str] | None = {"field": "time", "type": "DAY"}
        service = BigQueryLimits(self.meters, wall_clock=NOW.timestamp)
        self.client = Client(service, self.meters, self.answer, lambda: {"stored_twice": [1]})

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        if path.endswith("/insertAll"):
            assert headers.get("content-length") == str(len(body))
            text = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            rows = [one["json"] for one in msgspec.json.decode(text)["rows"]]
            self.stored += [row for row in rows if row.get("n") not in self.bad]
            errors = [
                {"index": index, "errors": [{"reason": "invalid", "message": "bad"}]}
                for index, row in enumerate(rows)
                if row.get("n") in self.bad
            ]
            return 200, {"insertErrors": errors} if errors else {}
        if method == "GET" and path == TABLE:
            return 200, {"timePartitioning": self.partitioning} if self.partitioning else {}
        if method == "POST" and path.startswith(JOBS):
            self.jobs.append(body)
            return 200, {"status": {"state": "RUNNING"}}
        return 200, {}

    def insert(self, *rows: dict[str, Any], **options: Any) -> tuple[int, Any]:
        return self.client.json("POST", INSERT, {"rows": [{"json": row} for row in rows], **options})

    def load(self, job: str, *days: int, table: str = "t") -> tuple[int, Any]:
        """A job whose rows are of these days of 2026."""
        rows = [{"time": (NOW + timedelta(days=day)).isoformat()} for day in days or (0,)]
        content = gzip.compress(b"\n".join(map(msgspec.json.encode, rows)))
        resource = resource_of(job, table)
        body = (
            b"--x\r\nContent-Type: application/json\r\n\r\n"
            + msgspec.json.encode(resource)
            + b"\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\n"
            + content
            + b"\r\n--x--\r\n"
        )
        headers = {"content-type": "multipart/related; boundary=x"}
        status, answer = self.client.ask("POST", f"{JOBS}?uploadType=multipart", body, headers)
        return status, msgspec.json.decode(answer)

    def refused(self, name: str) -> int:
        return int(self.meters.report().get(name, {}).get("refused", 0))


def resource_of(job: str, table: str = "t") -> dict[str, Any]:
    destination = {"projectId": "p", "datasetId": "d", "tableId": table}
    return {
        "jobReference": {"projectId": "p", "jobId": job},
        "configuration": {"load": {"destinationTable": destination}},
    }


def reason(answer: Any) -> str:
    return str(answer["error"]["errors"][0]["reason"])


def test_rows_pass_as_they_came() -> None:
    google = BigQuery()
    assert google.insert({"n": 1, "time": "2026-07-01T00:00:00Z"}) == (200, {})
    packed = gzip.compress(msgspec.json.encode({"rows": [{"json": {"n": 2}}]}))
    assert google.client.ask("POST", INSERT, packed, {"content-encoding": "gzip"})[0] == 200
    assert [row["n"] for row in google.stored] == [1, 2]


def test_a_body_that_is_too_large_as_it_is_sent_is_answered_in_html() -> None:
    google = BigQuery()
    status, body = google.client.ask("POST", INSERT, bytes(MOST + 1))
    assert status == 413
    assert body.startswith(b"<!DOCTYPE html>")
    assert google.refused("insert_all.sent_bytes") == 1


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 400)])
def test_a_body_may_not_unpack_to_more_than_ten_megabytes(more: int, status: int) -> None:
    google = BigQuery()
    empty = len(msgspec.json.encode({"rows": [{"json": {"a": ""}}]}))
    body = msgspec.json.encode({"rows": [{"json": {"a": "x" * (MOST - empty + more)}}]})
    assert len(body) == MOST + more
    found, answer = google.client.ask("POST", INSERT, gzip.compress(body), {"content-encoding": "gzip"})
    assert found == status
    if more:
        error = msgspec.json.decode(answer)
        assert reason(error) == "badRequest"
        assert error["error"]["message"] == f"Request payload size exceeds the limit: {MOST} bytes."
        assert google.stored == []


def test_of_a_bomb_no_more_is_unpacked_than_tells_that_it_is_one() -> None:
    google = BigQuery()
    bomb = gzip.compress(bytes(2**26))
    tracemalloc.start()
    try:
        status, _ = google.client.ask("POST", INSERT, bomb, {"content-encoding": "gzip"})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert status == 400
    assert most < 2**25


def test_a_request_may_have_fifty_thousand_rows() -> None:
    google = BigQuery()
    assert google.insert(*[{}] * 50_000)[0] == 200
    status, error = google.insert(*[{}] * 50_001)
    assert (status, reason(error)) == (400, "invalid")
    assert error["error"]["message"] == "too many rows present in the request, limit: 50000 row count: 50001."


def test_bytes_a_second_are_a_quota_of_the_project() -> None:
    google = BigQuery(insert_all__bytes=100)
    assert google.insert({"a": "x" * 50})[0] == 200
    status, error = google.insert({"a": "x" * 50})
    assert (status, reason(error)) == (403, "quotaExceeded")
    google.clock.wait(1)
    assert google.insert({"a": "x" * 50})[0] == 200


def test_the_bounds_of_partitions_are_days() -> None:
    google = BigQuery()
    midnight, night = NOW.replace(hour=0), NOW.replace(hour=23, minute=59)
    inside = [midnight - timedelta(days=3650), night + timedelta(days=366)]
    assert google.insert(*({"n": 0, "time": time.isoformat()} for time in inside)) == (200, {})
    outside = [night - timedelta(days=3651), midnight + timedelta(days=367)]
    status, answer = google.insert(*({"n": 0, "time": time.isoformat()} for time in outside))
    assert status == 200
    assert [one["errors"][0]["reason"] for one in answer["insertErrors"]] == ["invalid", "invalid"]
    micros = int(outside[0].timestamp()) * 1_000_000
    assert answer["insertErrors"][0]["errors"][0]["message"] == (
        f"Value {micros} for field time of the destination table p:d.t is outside the allowed bounds. You can only"
        " stream to date range within 3650 days in the past and 366 days in the future relative to the current date."
    )
    assert google.refused("insert_all.past_days") == google.refused("insert_all.future_days") == 1


def test_neighbours_of_a_row_out_of_bounds_are_stopped() -> None:
    google = BigQuery()
    _, answer = google.insert({"n": 1}, {"n": 2, "time": "1999-01-01T00:00:00Z"}, {"n": 3})
    assert [one["errors"][0]["reason"] for one in answer["insertErrors"]] == ["stopped", "invalid", "stopped"]
    assert google.stored == []


def test_neighbours_of_a_row_out_of_bounds_are_stored_where_the_request_says_so() -> None:
    google = BigQuery()
    google.bad = {4}
    rows = [{"n": 1}, {"n": 2, "time": "1999-01-01T00:00:00Z"}, {"n": 3}, {"n": 4}]
    packed = gzip.compress(
        msgspec.json.encode({"rows": [{"json": row} for row in rows], "skipInvalidRows": True})
    )
    status, body = google.client.ask("POST", INSERT, packed, {"content-encoding": "gzip"})
    errors = msgspec.json.decode(body)["insertErrors"]
    assert status == 200
    assert [(one["index"], one["errors"][0]["reason"]) for one in errors] == [(1, "invalid"), (3, "invalid")]
    assert [row["n"] for row in google.stored] == [1, 3]


@pytest.mark.parametrize(
    "value", [0, "0", "1970-01-01", "1970-01-01 00:00:00 UTC", "1970-01-01T00:00:00+01:00"]
)
def test_times_are_read_in_every_notation(value: Any) -> None:
    google = BigQuery()
    assert google.insert({"time": value})[1]["insertErrors"][0]["errors"][0]["reason"] == "invalid"


@pytest.mark.parametrize("value", ["not a time", None, True, {}])
def test_what_is_no_time_is_left_to_bigquery(value: Any) -> None:
    assert BigQuery().insert({"time": value}) == (200, {})


def test_a_table_without_partitions_takes_every_time() -> None:
    google = BigQuery()
    google.partitioning = None
    assert google.insert({"time": 0}) == (200, {})


def test_the_table_is_looked_up_once_in_a_while() -> None:
    google = BigQuery()
    for seconds in (0, 9, 2):
        google.clock.wait(seconds)
        google.insert({"n": 1})
    assert google.client.application.operations().count(f"GET {TABLE}") == 2


def test_a_table_takes_so_many_load_jobs_a_day_and_the_next_one_fails() -> None:
    google = BigQuery(load__jobs_of_table=2)
    assert [google.load(job)[1]["status"]["state"] for job in ("a", "b")] == ["RUNNING", "RUNNING"]
    status, job = google.load("c")
    assert (status, job["status"]["state"]) == (200, "DONE")
    assert job["status"]["errorResult"]["reason"] == "quotaExceeded"
    assert job["status"]["errorResult"]["location"] == "load_job_per_table.long"
    assert job["jobReference"]["jobId"] == "c"
    assert google.client.json("GET", f"{API}/jobs/c?location=US") == (200, job)
    assert google.load("c")[0] == 409
    assert google.load("d", table="other")[1]["status"]["state"] == "RUNNING"
    google.clock.wait(86_400)
    assert google.load("e")[1]["status"]["state"] == "RUNNING"


def test_a_job_that_is_asked_for_again_is_not_counted_again() -> None:
    google = BigQuery()
    google.load("a")
    google.load("a")
    assert google.meters.report()["load.jobs"]["counted"] == 1


def test_jobs_of_a_project_are_a_quota_too() -> None:
    google = BigQuery(load__jobs=1)
    google.load("a")
    error = google.load("b", table="other")[1]["status"]["errorResult"]
    assert (error["reason"], error["location"]) == ("quotaExceeded", "load_job")


def test_a_job_may_touch_so_many_partitions() -> None:
    google = BigQuery(load__partitions=2)
    assert google.load("a", 0, 1, 0)[1]["status"]["state"] == "RUNNING"
    error = google.load("b", 0, 1, 2)[1]["status"]["errorResult"]
    assert error["reason"] == "invalid"
    assert (
        error["message"]
        == "Too many partitions produced by query, allowed 2, query produces at least 3 partitions"
    )
    # it has failed, and counts all the same
    assert google.meters.report()["load.jobs"]["counted"] == 2


def test_modified_partitions_are_counted_by_table_and_day() -> None:
    google = BigQuery(load__partitions_of_table=3)
    google.load("a", 0, 1)
    error = google.load("b", 2, 3)[1]["status"]["errorResult"]
    assert error["location"] == "partition_modifications_per_column_partitioned_table.long"
    assert google.load("c", 2)[1]["status"]["state"] == "RUNNING"


def test_a_resumable_upload_counts_when_its_file_comes() -> None:
    google = BigQuery(load__jobs_of_table=1)
    google.load("a")
    place = f"http://127.0.0.1{JOBS}?uploadType=resumable&upload_id=7"
    body = msgspec.json.encode(resource_of("b"))
    assert google.client.ask("POST", f"{JOBS}?uploadType=resumable", body, {"x-upload": place})[0] == 200
    status, job = google.client.json("PUT", f"{JOBS}?uploadType=resumable&upload_id=7", {"time": 0})
    assert (status, job["status"]["errorResult"]["reason"]) == (200, "quotaExceeded")


@pytest.mark.parametrize("is_partitioned", [True, False])
def test_changes_of_a_table_are_limited_ten_times_as_many_where_it_has_partitions(
    is_partitioned: bool,
) -> None:
    google = BigQuery()
    most = 50 if is_partitioned else 5
    if not is_partitioned:
        google.partitioning = None
    answers = [google.client.json("PATCH", TABLE, {}) for _ in range(most + 1)]
    assert [status for status, _ in answers] == [200] * most + [403]
    assert reason(answers[-1][1]) == "rateLimitExceeded"
    google.clock.wait(10)
    assert google.client.json("PATCH", TABLE, {})[0] == 200


def test_no_more_than_ten_tables_are_made_in_a_second() -> None:
    google = BigQuery()
    answers = [google.client.json("POST", f"{API}/datasets/d/tables", {}) for _ in range(11)]
    assert [status for status, _ in answers] == [200] * 10 + [403]
    assert reason(answers[-1][1]) == "rateLimitExceeded"
    google.clock.wait(1)
    assert google.client.json("POST", f"{API}/datasets/d/tables", {})[0] == 200


def test_requests_a_second_are_limited_by_method_but_for_insert_all() -> None:
    google = BigQuery(api__requests=2)
    assert [google.client.ask("GET", f"{API}/jobs/{name}")[0] for name in "abc"] == [200, 200, 403]
    assert google.client.ask("GET", f"{API}/datasets/d")[0] == 200
    assert [google.insert({"n": 1})[0] for _ in range(3)] == [200] * 3


def test_what_is_no_request_of_the_api_passes() -> None:
    google = BigQuery(api__requests=1)
    assert [google.client.ask("GET", "/_rows")[0] for _ in range(2)] == [200, 200]
    assert google.client.json("GET", "/_limits") == (200, {"limits": {}, "stored_twice": [1]})
