"""BigQuery's REST API as far as it limits: insertAll, load jobs, changes of tables, requests a second."""

import re
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec

from consumer.local.faults.answers import render
from consumer.local.faults.connection import Scope
from consumer.local.faults.rules import Answer as Error
from consumer.local.limits.layer import Answer, Call, json_answer, plain_answer
from consumer.local.limits.meters import Meters
from consumer.local.limits.partitions import (
    Partitioning,
    out_of_bounds,
    outside_message,
    partitioning_of,
)

_API = r"(?P<upload>(?:/resumable)?/upload)?/bigquery/v2/projects/(?P<project>[^/]+)"
_INSERT = re.compile(rf"{_API}/datasets/(?P<dataset>[^/]+)/tables/(?P<table>[^/]+)/insertAll$")
_TABLE = re.compile(rf"{_API}/datasets/(?P<dataset>[^/]+)/tables/(?P<table>[^/]+)$")
_TABLES = re.compile(rf"{_API}/datasets/[^/]+/tables$")
_JOBS = re.compile(rf"{_API}/jobs(?:/(?P<job>[^/]+))?$")
_ANY = re.compile(rf"{_API}/(?P<rest>.*)$")
_HELP = "For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas"
_TABLE_SECONDS = 10.0
_GZIP = b"\x1f\x8b"
_TOO_LARGE = (
    b"<!DOCTYPE html><html lang=en><title>Error 413 (Request Entity Too Large)!!1</title>"
    b"<p><b>413.</b> <ins>That's an error.</ins><p>Your client issued a request that was too large."
)
_QUOTAS = {
    "load.jobs_of_table": (
        "Your table exceeded quota for imports or query appends per table",
        "load_job_per_table.long",
    ),
    "load.jobs": ("Your project exceeded quota for imports per project", "load_job"),
    "load.partitions_of_table": (
        "Your table exceeded quota for Number of partition modifications to a column partitioned table",
        "partition_modifications_per_column_partitioned_table.long",
    ),
}


class _Row(msgspec.Struct):
    json: dict[str, Any]


class _Rows(msgspec.Struct):
    rows: list[_Row] = []
    skip_invalid: bool = msgspec.field(name="skipInvalidRows", default=False)


class _RawRows(msgspec.Struct):
    rows: list[msgspec.Raw]


class BigQueryLimits:
    """The rules of the REST API. `wall_clock` tells seconds since the epoch, the meters' clock everything else."""

    def __init__(self, meters: Meters, wall_clock: Callable[[], float] = time.time) -> None:
        self._meters = meters
        self._wall_clock = wall_clock
        self._tables: dict[str, tuple[float, Partitioning | None]] = {}
        self._uploads: dict[str, dict[str, Any]] = {}
        self._begun: set[str] = set()
        self._refused: dict[str, dict[str, Any]] = {}

    def concerns(self, scope: Scope) -> bool:
        return _ANY.match(scope["path"]) is not None

    async def answer(self, call: Call) -> Answer:
        path, method = call.scope["path"], call.scope["method"]
        if found := _INSERT.match(path):
            return await self._insert_all(call, found)
        if self._meters.take(("api.requests", _method_of(method, path), 1)):
            return _error(
                403,
                "rateLimitExceeded",
                f"Exceeded rate limits: too many api requests per user per method for this user_method. {_HELP}",
            )
        if method == "POST" and _TABLES.match(path) and self._meters.take(("tables.creates", "user", 1)):
            return _error(403, "rateLimitExceeded", f"Exceeded rate limits: too many tables created. {_HELP}")
        if (found := _TABLE.match(path)) and method in ("PATCH", "PUT"):
            return await self._change_table(call, found)
        if found := _JOBS.match(path):
            return await self._job(call, found)
        return await call.forward()

    async def _insert_all(self, call: Call, found: re.Match[str]) -> Answer:
        meters = self._meters
        if len(call.body) > meters.value("insert_all.sent_bytes"):
            meters.refuse("insert_all.sent_bytes")
            return plain_answer(413, _TOO_LARGE, "text/html; charset=UTF-8")
        most = int(meters.value("insert_all.body_bytes"))
        body = _unpacked(call, most)
        if body is None:
            return await call.forward()
        if len(body) > most:
            meters.refuse("insert_all.body_bytes")
            return _error(400, "badRequest", f"Request payload size exceeds the limit: {most} bytes.")
        try:
            request = msgspec.json.decode(body, type=_Rows)
        except msgspec.MsgspecError:
            return await call.forward()
        rows = meters.value("insert_all.rows")
        if len(request.rows) > rows:
            meters.refuse("insert_all.rows")
            text = f"too many rows present in the request, limit: {rows:.0f} row count: {len(request.rows)}."
            return _error(400, "invalid", text)
        if meters.take(("insert_all.bytes", found["project"], len(body))):
            text = f"Exceeded rate limits: too many bytes streamed per second for this project. {_HELP}"
            return _error(403, "quotaExceeded", text)
        faults = self._outside(await self._partitioning(call, found), found, request.rows)
        if not faults:
            return await call.forward()
        return await self._without(call, body, request, faults)

    def _outside(
        self, partitioning: Partitioning | None, found: re.Match[str], rows: Sequence[_Row]
    ) -> dict[int, str]:
        """What is wrong with rows of partitions that take none, by their places."""
        if partitioning is None:
            return {}
        bounds = {
            "past_days": self._meters.value("insert_all.past_days"),
            "future_days": self._meters.value("insert_all.future_days"),
        }
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        faults: dict[int, str] = {}
        for place, row in enumerate(rows):
            moment = partitioning.time_of(row.json)
            if moment is not None and out_of_bounds(moment, now=now, **bounds):
                name = f"{found['project']}:{found['dataset']}.{found['table']}"
                faults[place] = outside_message(partitioning.field, moment, name, **bounds)
                is_past = moment < now
                self._meters.refuse("insert_all.past_days" if is_past else "insert_all.future_days")
        return faults

    async def _without(self, call: Call, body: bytes, request: _Rows, faults: dict[int, str]) -> Answer:
        """Store the other rows where the request says so, and none otherwise."""
        errors = {place: ("invalid", text) for place, text in faults.items()}
        others = [place for place in range(len(request.rows)) if place not in faults]
        if not request.skip_invalid:
            errors |= dict.fromkeys(others, ("stopped", ""))
        elif others:
            raw = msgspec.json.decode(body, type=_RawRows).rows
            rest = {**msgspec.json.decode(body), "rows": [raw[place] for place in others]}
            answer = await call.forward(msgspec.json.encode(rest), {b"content-encoding": b""})
            if answer.status != 200:
                return answer
            for one in msgspec.json.decode(answer.body).get("insertErrors", ()):
                first = one["errors"][0]
                errors[others[one["index"]]] = first["reason"], first.get("message", "")
        listed = [
            {
                "index": place,
                "errors": [{"reason": reason, "location": "", "debugInfo": "", "message": message}],
            }
            for place, (reason, message) in sorted(errors.items())
        ]
        return json_answer(200, {"kind": "bigquery#tableDataInsertAllResponse", "insertErrors": listed})

    async def _partitioning(self, call: Call, found: re.Match[str]) -> Partitioning | None:
        path = f"/bigquery/v2/projects/{found['project']}/datasets/{found['dataset']}/tables/{found['table']}"
        known = self._tables.get(path)
        if known is None or self._meters.clock() - known[0] > _TABLE_SECONDS:
            headers = [
                (key, value) for key, value in call.scope["headers"] if key.lower() == b"authorization"
            ]
            scope = {**call.scope, "method": "GET", "path": path, "raw_path": path.encode()}
            answer = await call.ask({**scope, "query_string": b"", "headers": headers})
            resource = msgspec.json.decode(answer.body) if answer.status == 200 else {}
            known = self._tables[path] = self._meters.clock(), partitioning_of(resource)
        return known[1]

    async def _change_table(self, call: Call, found: re.Match[str]) -> Answer:
        name = f"{found['project']}:{found['dataset']}.{found['table']}"
        is_partitioned = await self._partitioning(call, found) is not None
        limit, kind = (
            ("tables.partitioned_updates", "partitioned ") if is_partitioned else ("tables.updates", "")
        )
        if self._meters.take((limit, name, 1)):
            text = f"Exceeded rate limits: too many {kind}table update operations for this table. {_HELP}"
            return _error(403, "rateLimitExceeded", text)
        return await call.forward()

    # load jobs

    async def _job(self, call: Call, found: re.Match[str]) -> Answer:
        method, upload = call.scope["method"], found["upload"]
        if method == "GET" and found["job"] in self._refused:
            return json_answer(200, self._refused[found["job"]])
        query = parse_qs(call.scope["query_string"].decode())
        if method == "PUT" and upload:
            resource = self._uploads.get(query.get("upload_id", [""])[0], {})
            return await self._load(call, resource, call.body)
        if method != "POST" or not upload:
            return await call.forward()
        if query.get("uploadType") == ["resumable"]:
            answer = await call.forward()
            location = next((value for key, value in answer.headers if key.lower() == b"location"), b"")
            address = parse_qs(location.decode("latin-1").partition("?")[2])
            if address.get("upload_id"):
                self._uploads[address["upload_id"][0]] = msgspec.json.decode(call.body)
            return answer
        resource, content = _parts(call)
        return await self._load(call, resource, content)

    async def _load(self, call: Call, resource: dict[str, Any], content: bytes) -> Answer:
        table = resource.get("configuration", {}).get("load", {}).get("destinationTable")
        if table is None:
            return await call.forward()
        job = resource.get("jobReference", {}).get("jobId", "")
        if job in self._refused:
            return _error(409, "duplicate", f"Already Exists: Job {table['projectId']}:{job}")
        if job in self._begun:
            return await call.forward()
        name = f"{table['projectId']}:{table['datasetId']}.{table['tableId']}"
        error = self._job_error(name, table["projectId"], await self._touched(call, table, content))
        if error is None:
            answer = await call.forward()
            if answer.status == 200 and job:
                self._begun.add(job)
            return answer
        status = {"state": "DONE", "errorResult": error, "errors": [error]}
        statistics = {"creationTime": str(int(self._wall_clock() * 1000))}
        self._refused[job] = {"kind": "bigquery#job", **resource, "status": status, "statistics": statistics}
        return json_answer(200, self._refused[job])

    def _job_error(self, table: str, project: str, partitions: int) -> dict[str, str] | None:
        """Why a job fails before it does anything; it counts all the same where it is not for a quota."""
        used_up = self._meters.take(("load.jobs_of_table", table, 1), ("load.jobs", project, 1))
        most = self._meters.value("load.partitions")
        if used_up is None and partitions > most:
            self._meters.refuse("load.partitions")
            text = (
                f"Too many partitions produced by query, allowed {most:.0f}, query produces at least {partitions}"
                " partitions"
            )
            return {"reason": "invalid", "message": text}
        used_up = used_up or self._meters.take(("load.partitions_of_table", table, partitions))
        if used_up is None:
            return None
        what, location = _QUOTAS[used_up]
        return {
            "reason": "quotaExceeded",
            "location": location,
            "message": f"Quota exceeded: {what}. {_HELP}",
        }

    async def _touched(self, call: Call, table: dict[str, str], content: bytes) -> int:
        """How many partitions the rows are for."""
        path = "/bigquery/v2/projects/{projectId}/datasets/{datasetId}/tables/{tableId}".format(**table)
        found = _TABLE.match(path)
        partitioning = None if found is None else await self._partitioning(call, found)
        if partitioning is None:
            return 1
        text = zlib.decompress(content, zlib.MAX_WBITS | 16) if content.startswith(_GZIP) else content
        try:
            rows = [msgspec.json.decode(line, type=dict[str, Any]) for line in text.splitlines() if line]
        except msgspec.MsgspecError:
            return 1
        return len({partitioning.partition_of(row) for row in rows})


def _method_of(method: str, path: str) -> str:
    """HTTP's method and what is asked for, without names."""
    rest = path.partition("/projects/")[2].split("/")
    return f"{method} {'/'.join(rest[1::2])}"


def _unpacked(call: Call, most: int) -> bytes | None:
    """The body, of which no more is unpacked than tells that it is too large; None where it is no gzip."""
    if call.header(b"content-encoding") != "gzip":
        return call.body
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(call.body, most + 1)
    except zlib.error:
        return None


def _parts(call: Call) -> tuple[dict[str, Any], bytes]:
    """The job and the file of a multipart upload."""
    found = re.search(r'boundary="?([^";]+)', call.header(b"content-type"))
    if found is None:
        return {}, b""
    pieces = call.body.split(b"--" + found[1].encode())
    bodies = [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:3]]
    if len(bodies) < 2:
        return {}, b""
    try:
        return msgspec.json.decode(bodies[0], type=dict[str, Any]), bodies[1]
    except msgspec.MsgspecError:
        return {}, b""


def _error(status: int, reason: str, message: str) -> Answer:
    error = render(Error(status, reason, message), "bigquery")
    return plain_answer(error.status, error.body, error.content_type)
