"""A backend that takes everything and keeps nothing but counts: S3's PutObject, BigQuery's insertAll and AppendRows.

`python -m tests.bench.discard` listens on ports of its choice (consumer.local.child), one for HTTP and one for
gRPC. It is a process of its own, so that its work is not counted as the shard process'. What AppendRows needs of
DynamoDB is here too, and knows no outage.
"""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import msgspec
from pyarrow import parquet, py_buffer

from consumer.domain.object_names import parse_object_name
from consumer.local.child import Child
from consumer.local.objects import lines_of_object
from tests.bench.counts import Behaviour, Counts, numbers_in
from tests.bench.dynamodb import Items
from tests.bench.storage_write import StorageWrite

_TABLES = re.compile(
    r"/bigquery/v2/projects/[^/]+/datasets/[^/]+/tables(?:/(?P<table>[^/]+)/insertAll)?(?:\?|$)"
)
_ROW_MARK = b'{"insertId":'
_INSERT_ANSWER = b'{"kind":"bigquery#tableDataInsertAllResponse"}'
_OUTAGE_ANSWER = b"<Error><Code>ServiceUnavailable</Code></Error>"


class DiscardServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.counts = Counts(Behaviour())
        self.items = Items()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: DiscardServer

    def do_GET(self) -> None:
        """What has arrived; `/said` is content with what requests say of themselves."""
        if self.path != "/said":
            self.server.counts.look()
        self._answer(200, self.server.counts.as_json())

    def do_POST(self) -> None:
        """insertAll and tables.insert, and DynamoDB; `/behave` sets how this backend behaves."""
        body = self._body()
        if self.path == "/behave":
            self.server.counts = Counts(msgspec.json.decode(body, type=Behaviour))
            self._answer(200, b"")
            return
        if self.path == "/":
            self._answer(*self.server.items.answer(self.headers["X-Amz-Target"], body))
            return
        called = _TABLES.match(self.path)
        assert called is not None, self.path
        if called["table"] is None:
            self._create_table(body)
        else:
            self._insert(called["table"], body)

    def do_PUT(self) -> None:
        """PutObject."""
        body = self._body()
        said = parse_object_name(unquote(self.path.partition("?")[0]))
        self._take(body, said.records if said else 0, lambda: _lines_of(body), b"")

    def _insert(self, table: str, body: bytes) -> None:
        counts = self.server.counts
        if counts.behaviour.new_table_seconds is None or counts.tables.takes_rows(table):
            self._take(body, body.count(_ROW_MARK), lambda: body, _INSERT_ANSWER)
            return
        counts.wait()
        counts.add(requests=1, refused=1)
        self._answer(404, _error(404, "notFound", f"Not found: Table project:dataset.{table}"))

    def _create_table(self, body: bytes) -> None:
        counts = self.server.counts
        name = json.loads(body)["tableReference"]["tableId"]
        counts.wait()
        counts.add(requests=1)
        if counts.tables.create(name):
            self._answer(200, body)
        else:
            self._answer(409, _error(409, "duplicate", f"Already Exists: Table project:dataset.{name}"))

    def _take(self, body: bytes, records: int, content: Callable[[], bytes], answer: bytes) -> None:
        counts = self.server.counts
        counts.wait()
        if counts.behaviour.outage:
            counts.add(requests=1, refused=1)
            self._answer(503, _OUTAGE_ANSWER)
            return
        counts.take(len(body), records, lambda: numbers_in(content()))
        self._answer(200, answer)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"discarded"')
        self.end_headers()
        self.wfile.write(body)


def _lines_of(body: bytes) -> bytes:
    """Of an object; of one with columns the numbers alone, which takes a hundredth of the time."""
    if body.startswith(b"PAR1"):
        file = parquet.ParquetFile(py_buffer(body))
        if "number" in file.schema_arrow.names:
            numbers = file.read(columns=["number"])["number"].to_pylist()
            return b"".join([b'"number":%d\n' % number for number in numbers])
    return lines_of_object(body)


def _error(status: int, reason: str, message: str) -> bytes:
    error = {"reason": reason, "message": message}
    return json.dumps({"error": {"code": status, "message": message, "errors": [error]}}).encode()


def main() -> None:
    child = Child.from_environment()
    server = DiscardServer()
    _grpc_server, grpc_port = StorageWrite(lambda: server.counts).serve()
    child.ready(http=server.server_port, grpc=grpc_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
