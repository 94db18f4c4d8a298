"""A backend that takes everything and keeps nothing but counts: S3's PutObject and BigQuery's insertAll.

`python -m consumer.local.bench.discard` listens on a port of its choice (consumer.local.child); it is a process of its
own, so that its work is not counted as the shard process'.
"""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from isal import igzip

from consumer.local.child import Child

_NUMBERS = re.compile(rb'number\\?":(\d{12})').findall
"""Of `inputs.payload`, as it is or within the string that a JSON column takes."""

_INSERT_ANSWER = b'{"kind":"bigquery#tableDataInsertAllResponse"}'
_OUTAGE_ANSWER = b"<Error><Code>ServiceUnavailable</Code></Error>"


class Counts:
    """What has arrived since the last reset, and how this backend answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.latency_seconds = 0.0
        self.outage = False
        self.reset()

    def reset(self) -> None:
        self._counts = {"requests": 0, "refused": 0, "bytes": 0, "records": 0, "number_sum": 0}

    def add(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def as_json(self) -> bytes:
        with self._lock:
            return json.dumps(self._counts).encode()


class DiscardServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.counts = Counts()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: DiscardServer

    def do_GET(self) -> None:
        """What has arrived."""
        self._answer(200, self.server.counts.as_json())

    def do_POST(self) -> None:
        """insertAll; `/behave` sets how this backend behaves."""
        body = self._body()
        if self.path != "/behave":
            self._take(body, body, _INSERT_ANSWER)
            return
        wanted = json.loads(body)
        self.server.counts.reset()
        self.server.counts.latency_seconds = wanted["latency_seconds"]
        self.server.counts.outage = wanted["outage"]
        self._answer(200, b"")

    def do_PUT(self) -> None:
        """PutObject."""
        body = self._body()
        self._take(body, igzip.decompress(body), b"")

    def _take(self, body: bytes, content: bytes, answer: bytes) -> None:
        counts = self.server.counts
        if counts.latency_seconds:
            time.sleep(counts.latency_seconds)
        if counts.outage:
            counts.add(requests=1, refused=1)
            self._answer(503, _OUTAGE_ANSWER)
            return
        numbers = _NUMBERS(content)
        counts.add(requests=1, bytes=len(body), records=len(numbers), number_sum=sum(map(int, numbers)))
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


def main() -> None:
    child = Child.from_environment()
    server = DiscardServer()
    child.ready(http=server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
