"""A backend that takes what Google and Amazon would take, and remembers which records it was.

`python -m tests.bench.keep` listens as `tests.bench.discard` does, and runs load jobs as well. It
looks into every row, since a record may be made to break out of its place or to hide another one.
"""

import re
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
from isal import igzip

from consumer.local.child import Child
from tests.bench.counts import Behaviour, Counts
from tests.bench.dynamodb import Items
from tests.bench.kept import Bad, Delivered, Keeper, row_of
from tests.bench.storage_write import StorageWrite

_INSERT = re.compile(r"/bigquery/v2/projects/[^/]+/datasets/[^/]+/tables/(?P<table>[^/]+)/insertAll")
_JOB = re.compile(r"/bigquery/v2/projects/[^/]+/jobs/(?P<job>[^/?]+)")
_TABLE = re.compile(r"/bigquery/v2/projects/[^/]+/datasets/[^/]+/tables/(?P<table>[^/?]+)")
_UPLOAD = re.compile(r"/upload/bigquery/v2/projects/[^/]+/jobs\?uploadType=(?P<kind>multipart|resumable)")
_MOST_INSERT_BYTES = 10_000_000


class _Row(msgspec.Struct):
    insert_id: str = msgspec.field(name="insertId", default="")
    json: msgspec.Raw = msgspec.Raw(b"{}")


class _Insert(msgspec.Struct, rename="camel"):
    rows: list[_Row]
    skip_invalid_rows: bool = False


class _Reference(msgspec.Struct, rename="camel"):
    job_id: str


class _Job(msgspec.Struct, rename="camel"):
    job_reference: _Reference


class KeepingServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items = Items()
        self.forget()

    def forget(self) -> None:
        self.keeper = Keeper()
        self.jobs: dict[str, bytes] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: KeepingServer

    def do_GET(self) -> None:
        """`/` tells what was kept; a load job; a table, which is always there."""
        if self.path == "/":
            self._answer(200, msgspec.json.encode(self.server.keeper.kept()))
        elif called := _JOB.match(self.path):
            self._tell_job(called["job"])
        else:
            self._answer(200 if _TABLE.match(self.path) else 404, b"{}")

    def do_POST(self) -> None:
        """DynamoDB, insertAll, uploads; `/forget` begins anew."""
        body = self._body()
        if self.path == "/forget":
            self.server.forget()
            self._answer(200, b"")
        elif self.path == "/":
            self._answer(*self.server.items.answer(self.headers["X-Amz-Target"], body))
        elif called := _INSERT.match(self.path):
            self._insert(called["table"], body)
        else:
            self._upload(body)

    def do_PUT(self) -> None:
        """PutObject, and the file of a load job."""
        body = self._body()
        if self.path.startswith("/resumable/"):
            self._load(self.path.removeprefix("/resumable/"), body)
        else:
            self.server.keeper.put_object(self.path, igzip.decompress(body))
            self._answer(200, b"")

    def _insert(self, table: str, body: bytes) -> None:
        if len(body) > _MOST_INSERT_BYTES:
            self.server.keeper.oversized(len(body))
            self._answer(413, _error(413, "uploadTooLarge", f"{len(body)} bytes"))
            return
        try:
            request = msgspec.json.decode(body, type=_Insert)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._answer(400, _error(400, "invalid", str(error)))
            return
        good: dict[str, Delivered] = {}
        bad: dict[int, str] = {}
        for index, row in enumerate(request.rows):
            try:
                good[f"{table} {row.insert_id}"] = row_of(bytes(row.json))
            except Bad as error:
                bad[index] = str(error)
        if not bad or request.skip_invalid_rows:
            for place, delivered in good.items():
                self.server.keeper.insert(place, [delivered])
        self._answer(200, _insert_answer(bad, len(request.rows), skips=request.skip_invalid_rows))

    def _upload(self, body: bytes) -> None:
        called = _UPLOAD.match(self.path)
        assert called is not None, self.path
        job, content = (body, b"") if called["kind"] == "resumable" else self._parts(body)
        job_id = msgspec.json.decode(job, type=_Job).job_reference.job_id
        if job_id in self.server.jobs:
            self._answer(409, _error(409, "duplicate", f"Already Exists: Job {job_id}"))
        elif called["kind"] == "multipart":
            self._load(job_id, content)
        else:
            host, port = self.server.server_address[:2]
            self._answer(200, b"", Location=f"http://{host!s}:{port}/resumable/{job_id}")

    def _parts(self, body: bytes) -> tuple[bytes, bytes]:
        """Both of a multipart body, without their heads."""
        head = Message()
        head["Content-Type"] = self.headers["Content-Type"]
        boundary = str(head.get_param("boundary")).encode()
        _, job, content, _ = body.split(b"--" + boundary)
        inner = (part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in (job, content))
        return next(inner), next(inner)

    def _load(self, job_id: str, content: bytes) -> None:
        lines = igzip.decompress(content).removesuffix(b"\n").split(b"\n")
        status: dict[str, object] = {"state": "DONE"}
        try:
            self.server.keeper.insert(job_id, [row_of(line) for line in lines])
        except Bad as error:
            status["errorResult"] = {"reason": "invalid", "message": str(error)}
        self.server.jobs[job_id] = msgspec.json.encode({"jobReference": {"jobId": job_id}, "status": status})
        self._tell_job(job_id)

    def _tell_job(self, job_id: str) -> None:
        job = self.server.jobs.get(job_id)
        if job is None:
            self._answer(404, _error(404, "notFound", f"Not found: Job {job_id}"))
        else:
            self._answer(200, job)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _insert_answer(bad: dict[int, str], count: int, *, skips: bool) -> bytes:
    errors = [
        {"index": index, "errors": [{"reason": "invalid", "message": bad[index]}]}
        if index in bad
        else {"index": index, "errors": [{"reason": "stopped"}]}
        for index in (bad if skips or not bad else range(count))
    ]
    told = {"insertErrors": errors} if errors else {}
    return msgspec.json.encode({"kind": "bigquery#tableDataInsertAllResponse", **told})


def _error(status: int, reason: str, message: str) -> bytes:
    error = {"reason": reason, "message": message}
    return msgspec.json.encode({"error": {"code": status, "message": message, "errors": [error]}})


def main() -> None:
    child = Child.from_environment()
    server = KeepingServer()
    counts = Counts(Behaviour())
    storage_write = StorageWrite(
        lambda: counts, take=lambda _counts, batch, _size: server.keeper.append(batch)
    )
    _grpc_server, grpc_port = storage_write.serve()
    child.ready(http=server.server_port, grpc=grpc_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
