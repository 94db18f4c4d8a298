"""Questions in SQL to BigQuery's REST API, and the rows of the answer as texts.

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query
"""

from collections.abc import Iterator, Mapping
from typing import Protocol
from urllib.parse import quote

import msgspec

from consumer.domain.errors import TransientError
from consumer.sinks.bigquery.api.errors import request_error
from consumer.sinks.http.connection import Answer

_NEEDS = "bigquery.jobs.create and bigquery.tables.getData"
_WAIT_MILLIS = 20_000
_PAGE_ROWS = 50_000
_encode = msgspec.json.Encoder().encode

type Row = tuple[str | None, ...]


class QueryApi(Protocol):
    """One attempt a call; no redirects, no hidden retries."""

    def request(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Raises TransientError or SetupError where there is no answer."""


class _Cell(msgspec.Struct, frozen=True):
    v: str | None = None


class _Row(msgspec.Struct, frozen=True):
    f: list[_Cell]


class _Reference(msgspec.Struct, frozen=True, rename="camel"):
    job_id: str = ""
    location: str = ""


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    job_complete: bool
    job_reference: _Reference = _Reference()
    rows: list[_Row] = []
    page_token: str = ""


_decode = msgspec.json.Decoder(_Page).decode


class Queries:
    """Of one project; `location` is the dataset's."""

    def __init__(self, connection: QueryApi, *, project: str, location: str) -> None:
        self._connection = connection
        self._path = f"/bigquery/v2/projects/{project}/queries"
        self._location = location

    def rows(self, table: str, sql: str, texts: Mapping[str, str]) -> Iterator[Row]:
        """The rows of an answer, of which one page at a time is in memory; `texts` are its parameters, `table` is for
        errors. Raises DeliveryError."""
        request = {
            "query": sql,
            "useLegacySql": False,
            "location": self._location,
            "timeoutMs": _WAIT_MILLIS,
            "maxResults": _PAGE_ROWS,
            "parameterMode": "NAMED",
            "queryParameters": [
                {"name": name, "parameterType": {"type": "STRING"}, "parameterValue": {"value": text}}
                for name, text in texts.items()
            ],
        }
        page = _page(table, self._connection.request("POST", self._path, _encode(request)))
        while True:
            if page.job_complete:
                yield from (tuple([cell.v for cell in row.f]) for row in page.rows)
                if not page.page_token:
                    return
            page = _page(table, self._connection.request("GET", self._following(page)))

    def _following(self, page: _Page) -> str:
        job, location = page.job_reference.job_id, page.job_reference.location or self._location
        asked = f"location={quote(location)}&maxResults={_PAGE_ROWS}&timeoutMs={_WAIT_MILLIS}"
        token = f"&pageToken={quote(page.page_token)}" if page.page_token else ""
        return f"{self._path}/{quote(job)}?{asked}{token}"


def _page(table: str, answer: Answer) -> _Page:
    if answer.status != 200:
        raise request_error(table, answer.status, answer.body, needs=_NEEDS)
    try:
        return _decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"{table}: unreadable answer to a query: {error}") from error
