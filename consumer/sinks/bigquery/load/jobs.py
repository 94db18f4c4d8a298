"""Runs load jobs over HTTP: begun once, found again under their id, followed to their end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from consumer.domain.errors import DeliveryError, TransientError
from consumer.sinks.bigquery.api.errors import request_error
from consumer.sinks.bigquery.load.answers import Verdict, start_error, verdict_of
from consumer.sinks.bigquery.load.requests import MULTIPART_TYPE, Destination, LoadRequest, multipart
from consumer.sinks.http.connection import Answer

_MULTIPART_BYTES = 5_000_000
"""Google's own clients send larger files by the resumable protocol."""
_FIRST_POLL_SECONDS = 0.25
_LONGEST_POLL_SECONDS = 5.0
_JSON = "application/json"


class JobsApi(Protocol):
    """One attempt a call; no redirects, no hidden retries."""

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = _JSON) -> Answer:
        """`path` may be a whole address, as Google gives one to upload to. Raises TransientError or SetupError where
        there is no answer, or where that address is none for a token to go to."""


@dataclass(frozen=True, slots=True)
class Run:
    """`began` tells that the job was begun by this call: an older one may have met other tables."""

    verdict: Verdict
    began: bool


class LoadJobs:
    """The jobs of one destination."""

    def __init__(
        self, connection: JobsApi, destination: Destination, sleep: Callable[[float], object]
    ) -> None:
        self._connection = connection
        self._destination = destination
        self._sleep = sleep
        project = f"/bigquery/v2/projects/{destination.project}"
        self._jobs = f"{project}/jobs"
        self._tables = f"{project}/datasets/{destination.dataset}/tables"

    def find(self, request: LoadRequest) -> Verdict | None:
        """The end of the request's job if there is such a job, waited for; None where there is none."""
        answer = self._get(request)
        if answer.status == 404:
            return None
        return self._followed(request, answer)

    def run(self, request: LoadRequest) -> Run:
        """Begin the job, or find the one that is there, and follow it to its end. Blocks for as long as that takes."""
        answer = self._begin(request)
        if answer.status == 409:
            return Run(self._followed(request, self._get(request)), began=False)
        if answer.status != 200:
            raise start_error(request.table, answer.status, answer.body)
        return Run(self._followed(request, answer), began=True)

    def refuse_missing_table(self, request: LoadRequest) -> None:
        """Raises what insertAll would for a table that is not there: looking costs nothing, and a failed job counts
        against the quota."""
        answer = self._connection.request("GET", f"{self._tables}/{request.table}?fields=id")
        if answer.status != 200:
            raise request_error(request.table, answer.status, answer.body)

    def _begin(self, request: LoadRequest) -> Answer:
        job, content = self._destination.job(request), request.content()
        upload = f"/upload{self._jobs}?uploadType="
        if len(content) <= _MULTIPART_BYTES:
            body = multipart(job, content)
            return self._connection.request("POST", f"{upload}multipart", body, MULTIPART_TYPE)
        answer = self._connection.request("POST", f"{upload}resumable", job)
        if answer.status != 200:
            return answer
        if not answer.location:
            raise TransientError(f"{request.table}: no address to upload to")
        return self._connection.request("PUT", answer.location, content, "application/octet-stream")

    def _followed(self, request: LoadRequest, answer: Answer) -> Verdict:
        job_id = self._destination.job_id(request)
        pause = _FIRST_POLL_SECONDS
        while True:
            if answer.status != 200:
                raise _about_job(request, job_id, answer)
            verdict = verdict_of(request.table, job_id, answer.body)
            if verdict is not None:
                return verdict
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_POLL_SECONDS)
            answer = self._get(request)

    def _get(self, request: LoadRequest) -> Answer:
        job_id = self._destination.job_id(request)
        location = quote(self._destination.location)
        return self._connection.request("GET", f"{self._jobs}/{job_id}?location={location}")


def _about_job(request: LoadRequest, job_id: str, answer: Answer) -> DeliveryError:
    """A job that exists and cannot be read: waiting is all there is to do, whatever the reason."""
    error = request_error(request.table, answer.status, answer.body)
    return TransientError(f"job {job_id} cannot be followed: {error}")
