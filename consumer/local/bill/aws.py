"""What requests to the embedded AWS cost: S3, DynamoDB, Kinesis, CloudWatch."""

import gzip
import re
from collections.abc import Hashable, Iterator
from urllib.parse import parse_qsl

import cbor2
import msgspec

from consumer.local.bill.dynamodb import DynamoDB, Lookup
from consumer.local.bill.layer import Exchange
from consumer.local.bill.meter import Meter

PAYLOAD_UNIT_BYTES = 25 * 1024
"""https://aws.amazon.com/kinesis/data-streams/pricing/"""

_SERVER_ERROR = 500
_GZIP = b"\x1f\x8b"
_find_service = re.compile(r"Credential=[^/]*/\d{8}/[^/]+/(?P<service>[^/]+)/").search
_METRIC = re.compile(r"MetricData\.member\.(?P<place>\d+)\.(?P<what>MetricName|Dimensions\.member\.\d+\.\w+)")


class _Put(msgspec.Struct, rename="pascal"):
    data: str = ""
    """In base64."""


class _Puts(msgspec.Struct, rename="pascal"):
    records: list[_Put]


class _Placed(msgspec.Struct, rename="pascal"):
    error_code: str | None = None


class _Answers(msgspec.Struct, rename="pascal"):
    records: list[_Placed]


_decode_put = msgspec.json.Decoder(_Put).decode
_decode_puts = msgspec.json.Decoder(_Puts).decode
_decode_answers = msgspec.json.Decoder(_Answers).decode


def payload_units(size_bytes: int) -> int:
    """Of one record on a stream."""
    return max(1, -(-size_bytes // PAYLOAD_UNIT_BYTES))


class Aws:
    """Counts exchanges; what AWS fails to answer costs nothing."""

    def __init__(self, meter: Meter, lookup: Lookup) -> None:
        self._meter = meter
        self._dynamodb = DynamoDB(meter, lookup)

    def account(self, exchange: Exchange) -> None:
        if not 0 < exchange.status < _SERVER_ERROR:
            return
        service = _service(exchange)
        if service == "kinesis":
            self._kinesis(exchange)
        elif exchange.is_tools:
            return
        elif service == "dynamodb":
            self._dynamodb.account(exchange)
        elif service == "s3":
            self._s3(exchange)
        elif service == "monitoring":
            self._cloudwatch(exchange)

    def _s3(self, exchange: Exchange) -> None:
        """Deletions are free. A list is a GET of a bucket, with or without a query."""
        method, has_key = exchange.method, exchange.path.strip("/").count("/") > 0
        if method in ("PUT", "POST") or (method == "GET" and not has_key):
            self._meter.add(s3_put_requests=1)
        elif method != "DELETE":
            self._meter.add(s3_get_requests=1)
        if method == "PUT" and has_key and exchange.status == 200:
            decoded = exchange.header(b"x-amz-decoded-content-length")
            size = int(decoded) if decoded else sum(map(len, exchange.request))
            self._meter.add(s3_stored_bytes=size)

    def _kinesis(self, exchange: Exchange) -> None:
        operation = exchange.header(b"x-amz-target").rpartition(".")[2]
        if operation == "GetRecords":
            self._meter.add(kinesis_get_requests=1)
        elif operation == "RegisterStreamConsumer" and exchange.status == 200:
            name = msgspec.json.decode(exchange.body)["ConsumerName"]
            self._meter.note("kinesis_fanout_consumers", name)
        elif operation in ("PutRecord", "PutRecords") and exchange.status == 200:
            sizes = [len(put.data) * 3 // 4 - put.data[-2:].count("=") for put in _puts(operation, exchange)]
            self._meter.add(
                kinesis_put_records=len(sizes),
                kinesis_put_units=sum(map(payload_units, sizes)),
                kinesis_put_bytes=sum(sizes),
            )

    def _cloudwatch(self, exchange: Exchange) -> None:
        """A metric is billed by its name and dimensions, however often it is told."""
        self._meter.add(cloudwatch_requests=1)
        body = exchange.body
        for metric in _metrics(gzip.decompress(body) if body.startswith(_GZIP) else body):
            self._meter.note("cloudwatch_metrics", metric)


def _metrics(body: bytes) -> Iterator[Hashable]:
    """Namespace, name and dimensions of each metric, whichever of its three protocols a client speaks: JSON, CBOR or
    a query."""
    if body.startswith(b"Action="):
        yield from _metrics_in_query(body)
        return
    request = msgspec.json.decode(body) if body.startswith(b"{") else cbor2.loads(body)
    for metric in request.get("MetricData", ()):
        dimensions = ((each["Name"], each["Value"]) for each in metric.get("Dimensions", ()))
        yield request["Namespace"], metric["MetricName"], *sorted(dimensions)


def _metrics_in_query(body: bytes) -> Iterator[Hashable]:
    metrics: dict[str, list[tuple[str, str]]] = {}
    fields = parse_qsl(body.decode())
    for name, value in fields:
        if found := _METRIC.match(name):
            metrics.setdefault(found["place"], []).append((found["what"], value))
    namespace = dict(fields).get("Namespace")
    yield from ((namespace, *sorted(metric)) for metric in metrics.values())


def _service(exchange: Exchange) -> str:
    """By the signature, and where there is none by the API's name."""
    found = _find_service(exchange.header(b"authorization"))
    if found:
        return found["service"]
    return exchange.header(b"x-amz-target").partition("_")[0].lower() or "s3"


def _puts(operation: str, exchange: Exchange) -> Iterator[_Put]:
    """The records that have come to the stream."""
    if operation == "PutRecord":
        yield _decode_put(exchange.body)
        return
    placed = _decode_answers(exchange.answer_body).records
    puts = _decode_puts(exchange.body).records
    yield from (put for put, answer in zip(puts, placed, strict=True) if answer.error_code is None)
