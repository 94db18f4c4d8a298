"""What S3, Kinesis and CloudWatch would bill, asked by botocore through moto."""

import gzip
from typing import Any
from urllib.parse import urlencode

import cbor2
import pytest
from botocore.exceptions import ClientError

from consumer.local.bill import aws as bill
from consumer.local.bill.aws import PAYLOAD_UNIT_BYTES, payload_units
from consumer.local.bill.layer import Exchange
from consumer.local.bill.meter import Meter
from tests.unit.local.bill.embedded import Aws

KIBIBYTE = 1024


@pytest.fixture
def aws() -> Aws:
    return Aws()


def test_s3_bills_two_prices_of_requests_and_what_is_stored(aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="bucket")
    assert aws.meter.counts() == {"s3_put_requests": 1}
    s3.put_object(Bucket="bucket", Key="a/key", Body=b"x" * 1000)
    s3.list_objects_v2(Bucket="bucket", Prefix="a/")
    assert aws.meter.counts() == {"s3_put_requests": 3, "s3_stored_bytes": 1000}
    s3.get_object(Bucket="bucket", Key="a/key")
    s3.head_object(Bucket="bucket", Key="a/key")
    s3.head_bucket(Bucket="bucket")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="bucket", Key="missing")
    s3.delete_object(Bucket="bucket", Key="a/key")
    assert aws.meter.counts() == {"s3_put_requests": 3, "s3_stored_bytes": 1000, "s3_get_requests": 4}


def test_s3_bills_an_object_that_is_refused_as_a_request_alone(aws: Aws) -> None:
    s3 = aws.client("s3")
    with pytest.raises(ClientError):
        s3.put_object(Bucket="missing", Key="key", Body=b"x")
    assert aws.meter.counts() == {"s3_put_requests": 1}


def test_s3_bills_nothing_that_fails_on_its_side_and_nothing_of_tools(aws: Aws) -> None:
    aws.client("s3", tool=True).list_buckets()
    scope = {"method": "PUT", "path": "/b/key", "headers": []}
    for status in (0, 500, 503):
        bill.Aws(aws.meter, lambda table, key: None).account(Exchange(scope, [b"x"], status))
    assert aws.meter.counts() == {}


@pytest.mark.parametrize(
    ("size", "units"),
    [(0, 1), (1, 1), (PAYLOAD_UNIT_BYTES, 1), (PAYLOAD_UNIT_BYTES + 1, 2), (1024 * KIBIBYTE, 41)],
)
def test_a_record_has_a_payload_unit_for_each_begun_25_kilobytes(size: int, units: int) -> None:
    assert payload_units(size) == units


def test_kinesis_bills_puts_of_tools_too_and_polling_not_at_all(aws: Aws) -> None:
    kinesis = aws.client("kinesis", tool=True)
    kinesis.create_stream(StreamName="s", ShardCount=1)
    records = [{"Data": b"x" * size, "PartitionKey": "k"} for size in (26 * KIBIBYTE, 10, 11, 12)]
    kinesis.put_records(StreamName="s", Records=records)
    kinesis.put_record(StreamName="s", Data=b"x", PartitionKey="k")
    sizes = 26 * KIBIBYTE + 10 + 11 + 12 + 1
    put: dict[str, float] = {
        "kinesis_put_records": 5,
        "kinesis_put_units": 6,
        "kinesis_put_bytes": sizes,
    }
    assert aws.meter.counts() == put
    daemon = aws.client("kinesis")
    at = daemon.get_shard_iterator(
        StreamName="s", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )
    daemon.get_records(ShardIterator=at["ShardIterator"])
    assert aws.meter.counts() == put | {"kinesis_get_requests": 1.0}


def test_kinesis_bills_no_record_that_it_refuses() -> None:
    meter = Meter()
    target = (b"x-amz-target", b"Kinesis_20131202.PutRecords")
    scope = {"method": "POST", "path": "/", "headers": [target]}
    request = b'{"Records":[{"Data":"eHg=","PartitionKey":"k"},{"Data":"eA==","PartitionKey":"k"}]}'
    answer = b'{"Records":[{"ErrorCode":"InternalFailure"},{"SequenceNumber":"1","ShardId":"s"}]}'
    exchange = Exchange(scope, [request], 200, [], [answer])
    bill.Aws(meter, lambda table, key: None).account(exchange)
    assert meter.counts() == {"kinesis_put_records": 1, "kinesis_put_units": 1, "kinesis_put_bytes": 1}


def test_fan_out_is_billed_by_consumer(aws: Aws) -> None:
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    for name in ("one", "two"):
        kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=name)
    assert aws.counted("kinesis_fanout_consumers") == 2


METRICS: list[dict[str, Any]] = [
    {"MetricName": "Lag", "Dimensions": [{"Name": "Shard", "Value": "0"}, {"Name": "Op", "Value": "Get"}]},
    {"MetricName": "Lag", "Dimensions": [{"Name": "Op", "Value": "Get"}, {"Name": "Shard", "Value": "0"}]},
    {"MetricName": "Lag", "Dimensions": [{"Name": "Shard", "Value": "1"}]},
    {"MetricName": "Lag"},
]
QUERY = {
    "Action": "PutMetricData",
    "Namespace": "app",
    "MetricData.member.1.MetricName": "Lag",
    "MetricData.member.1.Dimensions.member.1.Name": "Shard",
    "MetricData.member.1.Dimensions.member.1.Value": "0",
    "MetricData.member.1.Value": "5",
    "MetricData.member.2.MetricName": "Lag",
}


def test_cloudwatch_bills_a_metric_once_and_every_request(aws: Aws) -> None:
    cloudwatch = aws.client("cloudwatch")
    for _ in range(2):
        cloudwatch.put_metric_data(Namespace="app", MetricData=[{**each, "Value": 1.0} for each in METRICS])
    assert aws.meter.counts() == {"cloudwatch_requests": 2, "cloudwatch_metrics": 3}


@pytest.mark.parametrize(
    ("body", "metrics"),
    [
        (cbor2.dumps({"Namespace": "app", "MetricData": METRICS}), 3),
        (urlencode(QUERY).encode(), 2),
        (gzip.compress(urlencode({**QUERY, "MetricData.member.1.Value": "6"}).encode()), 2),
    ],
)
def test_metrics_are_read_in_each_protocol(body: bytes, metrics: int) -> None:
    meter = Meter()
    signed = b"AWS4-HMAC-SHA256 Credential=id/20260101/eu-west-1/monitoring/aws4_request, SignedHeaders=host"
    scope: dict[str, Any] = {"method": "POST", "path": "/", "headers": [(b"authorization", signed)]}
    bill.Aws(meter, lambda table, key: None).account(Exchange(scope, [body], 200))
    assert meter.counts() == {"cloudwatch_requests": 1, "cloudwatch_metrics": metrics}
