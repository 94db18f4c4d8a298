"""A backend that takes everything and keeps nothing but counts: S3's PutObject and BigQuery's insertAll.

`python -m consumer.local.bench.discard` listens on a port of its choice (consumer.local.child); it is a process of its
own, so that its work is not counted as the shard process'.
"""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import msgspec
from isal import igzip

from consumer.local.bench.tables import Tables
from consumer.local.child import Child

_NUMBERS = re.compile(rb'number\\?":(\d{12})').findall
"""Of `inputs.payload`, as it is or within the string that a JSON column takes."""

_TABLES = re.compile(
    r"/bigquery/v2/projects/[^/]+/datasets/[^/]+/tables(?:/(?P<table>[^/]+)/insertAll)?(?:\?|$)"
)
_INSERT_ANSWER = b'{"kind":"bigquery#tableDataInsertAllResponse"}'
_OUTAGE_ANSWER = b"<Error><Code>ServiceUnavailable</Code></Error>"


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How this backend answers; what is put to `/behave`."""

    latency_seconds: float = 0.0
    outage: bool = False
    new_table_seconds: float | None = None
    """A table has to be created, and takes rows once it is so old; None: every table is there."""
    first_number: int | None = None
    """Each record has a number of its own, from this one on, and the numbers are remembered."""


class Counts:
    """What has arrived under a behaviour."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.tables = Tables(new_seconds=behaviour.new_table_seconds or 0.0, clock=time.monotonic)
        self._lock = threading.Lock()
        self._counts = {"requests": 0, "refused": 0, "bytes": 0, "records": 0, "number_sum": 0}
        self._numbers: set[int] = set()

    def add(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def take(self, size: int, numbers: list[int]) -> None:
        """A request of `size` bytes and the numbers of its records."""
        self.add(requests=1, bytes=size, records=len(numbers), number_sum=sum(numbers))
        if self.behaviour.first_number is not None:
            with self._lock:
                self._numbers.update(numbers)

    def as_json(self) -> bytes:
        with self._lock:
            return json.dumps({**self._counts, "unbroken": self._unbroken()}).encode()

    def _unbroken(self) -> int:
        """How many records there are from the first number to the first that is missing."""
        first = self.behaviour.first_number
        if first is None:
            return 0
        return next(place for place in count() if first + place not in self._numbers)


class DiscardServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.counts = Counts(Behaviour())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: DiscardServer

    def do_GET(self) -> None:
        """What has arrived."""
        self._answer(200, self.server.counts.as_json())

    def do_POST(self) -> None:
        """insertAll and tables.insert; `/behave` sets how this backend behaves."""
        body = self._body()
        if self.path == "/behave":
            self.server.counts = Counts(msgspec.json.decode(body, type=Behaviour))
            self._answer(200, b"")
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
        self._take(body, igzip.decompress(body), b"")

    def _insert(self, table: str, body: bytes) -> None:
        counts = self.server.counts
        if counts.behaviour.new_table_seconds is None or counts.tables.takes_rows(table):
            self._take(body, body, _INSERT_ANSWER)
            return
        self._wait(counts)
        counts.add(requests=1, refused=1)
        self._answer(404, _error(404, "notFound", f"Not found: Table project:dataset.{table}"))

    def _create_table(self, body: bytes) -> None:
        counts = self.server.counts
        name = json.loads(body)["tableReference"]["tableId"]
        self._wait(counts)
        counts.add(requests=1)
        if counts.tables.create(name):
            self._answer(200, body)
        else:
            self._answer(409, _error(409, "duplicate", f"Already Exists: Table project:dataset.{name}"))

    def _take(self, body: bytes, content: bytes, answer: bytes) -> None:
        counts = self.server.counts
        self._wait(counts)
        if counts.behaviour.outage:
            counts.add(requests=1, refused=1)
            self._answer(503, _OUTAGE_ANSWER)
            return
        counts.take(len(body), [int(number) for number in _NUMBERS(content)])
        self._answer(200, answer)

    def _wait(self, counts: Counts) -> None:
        if counts.behaviour.latency_seconds:
            time.sleep(counts.behaviour.latency_seconds)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"discarded"')
        self.end_headers()
        self.wfile.write(body)


def _error(status: int, reason: str, message: str) -> bytes:
    error = {"reason": reason, "message": message}
    return json.dumps({"error": {"code": status, "message": message, "errors": [error]}}).encode()


def main() -> None:
    child = Child.from_environment()
    server = DiscardServer()
    child.ready(http=server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
