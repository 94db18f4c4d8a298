"""Reads metrics back: Prometheus text, and OTLP as a receiver on loopback gets it."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from consumer.daemon.metrics.metric import COMMON_LABELS
from consumer.domain.latency import BOUNDS_SECONDS

type Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def series(text: bytes) -> Series:
    """Values by name and labels, those that all have aside."""
    return dict(_series(text))


def _series(text: bytes) -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = {**sample.labels}
            assert [labels.pop(name, None) for name in COMMON_LABELS] != [None, None], sample
            yield (sample.name, tuple(sorted(labels.items()))), sample.value


class Receiver:
    """Keeps what it gets. `code` is its answer."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.code = 200
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.requests: list[ExportMetricsServiceRequest] = []
        self.arrived = threading.Event()

    def got(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.paths.append(path)
        self.headers.append(headers)
        self.bodies.append(body)
        self.requests.append(ExportMetricsServiceRequest.FromString(gzip.decompress(body)))
        self.arrived.set()

    def metrics(self) -> Iterator[Any]:
        for request in self.requests:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    yield from scope.metrics


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(receiver.code)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            serving.join()


def as_series(receiver: Receiver) -> Series:
    """In the form in which /metrics shows them."""
    return dict(_as_series(receiver))


def _as_series(receiver: Receiver) -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
    for metric in receiver.metrics():
        for point in (*metric.gauge.data_points, *metric.sum.data_points):
            value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
            yield (metric.name, _labels(point)), value
        for point in metric.histogram.data_points:
            assert tuple(point.explicit_bounds) == BOUNDS_SECONDS
            total = 0
            for bound, count in zip((*BOUNDS_SECONDS, "+Inf"), point.bucket_counts, strict=True):
                total += count
                yield (f"{metric.name}_bucket", (*_labels(point), ("le", str(bound)))), total
            yield (f"{metric.name}_count", _labels(point)), point.count
            yield (f"{metric.name}_sum", _labels(point)), point.sum


def _labels(point: Any) -> tuple[tuple[str, str], ...]:
    labels = {pair.key: pair.value.string_value for pair in point.attributes}
    assert [labels.pop(name, None) for name in COMMON_LABELS] != [None, None]
    return tuple(sorted(labels.items()))
