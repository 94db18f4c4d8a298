"""Load jobs and insertAll as Google documents them, in memory."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from consumer.sinks.http.connection import Answer


def error(status: int, reason: str) -> Answer:
    content = {"error": {"code": status, "message": "as told", "errors": [{"reason": reason}]}}
    return Answer(status, json.dumps(content).encode())


@dataclass
class FakeGoogle:
    """Rows whose `bad` is true are refused, by jobs and by insertAll alike; `script` answers requests in its order
    until it is used up (None lets the request through, and its answer be lost where it is LOST)."""

    polls: int = 0
    """How often a job is found running before it is done."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    loaded: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    script: list[Callable[[], Answer] | None] = field(default_factory=list)
    ends: list[str | None] = field(default_factory=list)
    """Reasons of the errors with which the next jobs fail; None lets one run."""
    refuses: Callable[[dict[str, Any]], bool] = lambda row: bool(row.get("bad"))
    sees: Callable[[dict[str, Any]], bool] | None = None
    """What insertAll refuses, where that differs."""
    tables_missing: bool = False
    dry_run_rows: int = 0

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> Answer:
        self.requests.append(
            f"{method} {path.split('?')[0].rsplit('/', 1)[-1] if method != 'POST' else path}"
        )
        scripted = self.script.pop(0) if self.script else None
        if scripted is not None:
            return scripted()
        if method == "POST" and "uploadType=multipart" in path:
            job, content = _parts(body)
            return self._begin(job, content)
        if method == "POST" and "uploadType=resumable" in path:
            self._announced = json.loads(body)
            return Answer(200, b"", "http://upload.example/there?upload_id=1")
        if method == "PUT":
            return self._begin(self._announced, body)
        if "/tables/" in path:
            return error(404, "notFound") if self.tables_missing else Answer(200, b'{"id":"x"}')
        job_id = path.split("/jobs/")[1].split("?")[0]
        if job_id not in self.jobs:
            return error(404, "notFound")
        return self._shown(job_id)

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        assert path.endswith("/insertAll")
        content = json.loads(body)
        assert content["skipInvalidRows"] is False
        refuses = self.sees or self.refuses
        rows = [row["json"] for row in content["rows"]]
        self.dry_run_rows += len(rows) - 1
        assert rows[-1] == {"t": "no time at all"}
        reasons = ["invalid" if refuses(_record(row)) else "stopped" for row in rows[:-1]] + ["invalid"]
        errors = [
            {"index": index, "errors": [{"reason": reason, "message": "bad" if reason == "invalid" else ""}]}
            for index, reason in enumerate(reasons)
        ]
        return 200, json.dumps({"insertErrors": errors}).encode()

    def _begin(self, job: dict[str, Any], content: bytes) -> Answer:
        job_id = job["jobReference"]["jobId"]
        if job_id in self.jobs:
            return error(409, "duplicate")
        rows = [json.loads(line) for line in gzip.decompress(content).splitlines()]
        self.jobs[job_id] = {"polls": self.polls, "error": self._end(rows), "rows": len(rows), "job": job}
        return self._shown(job_id)

    def _end(self, rows: list[dict[str, Any]]) -> str | None:
        reason = self.ends.pop(0) if self.ends else None
        if reason is None and any(self.refuses(_record(row)) for row in rows):
            reason = "invalid"
        if reason is None:
            self.loaded += map(_record, rows)
        return reason

    def _shown(self, job_id: str) -> Answer:
        job = self.jobs[job_id]
        running = job["polls"] > 0
        job["polls"] -= 1
        status: dict[str, Any] = {"state": "RUNNING" if running else "DONE"}
        if not running and job["error"]:
            status["errorResult"] = {"reason": job["error"], "message": "as told"}
        return Answer(200, json.dumps({"jobReference": {"jobId": job_id}, "status": status}).encode())


def _parts(body: bytes) -> tuple[dict[str, Any], bytes]:
    boundary = body.split(b"\r\n", 1)[0]
    _, job, content, _ = body.split(boundary)
    return json.loads(job.split(b"\r\n\r\n", 1)[1]), content.split(b"\r\n\r\n", 1)[1][:-2]


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """The record of a row of the shape `log`, whose JSON insertAll gets as a text."""
    log = row["log"]
    record: dict[str, Any] = json.loads(log) if isinstance(log, str) else log
    return record
