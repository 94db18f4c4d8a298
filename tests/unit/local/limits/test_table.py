"""The table of limits against what the vendors' own clients document."""

import gzip
import json
import re
from pathlib import Path

import botocore
import pytest
from google.cloud.bigquery_storage_v1 import types

from consumer.local.limits.table import Limits

LIMITS = Limits()
_KINESIS = Path(botocore.__file__).parent / "data" / "kinesis" / "2013-12-02" / "service-2.json.gz"
OPERATIONS = json.loads(gzip.decompress(_KINESIS.read_bytes()))["operations"]
NUMBERS = {"five": 5, "1,000": 1000}


def documented(operation: str, pattern: str) -> float:
    """The number that botocore's documentation of an operation has where the pattern has its group."""
    text = re.sub("<[^>]+>", "", OPERATIONS[operation]["documentation"])
    found = re.search(pattern, text)
    assert found is not None, text
    return float(NUMBERS.get(found[1], found[1]))


@pytest.mark.parametrize(
    ("limit", "operation", "pattern"),
    [
        ("kinesis.reads", "GetRecords", "limit of ([0-9a-z]+) transactions per second per shard"),
        ("kinesis.iterators", "GetShardIterator", "limit of ([0-9a-z]+) transactions per second"),
        ("kinesis.list_shards", "ListShards", "limit of ([0-9,]+) transactions per second per data stream"),
        ("kinesis.describe", "DescribeStream", "limit of ([0-9]+) transactions per second per account"),
        (
            "kinesis.summaries",
            "DescribeStreamSummary",
            "limit of ([0-9]+) transactions per second per account",
        ),
        ("kinesis.put_records", "PutRecords", "up to ([0-9,]+) records per second"),
    ],
)
def test_the_requests_that_kinesis_takes_are_those_of_its_service_model(
    limit: str, operation: str, pattern: str
) -> None:
    assert LIMITS.value(limit) == documented(operation, pattern)


def test_the_bytes_of_a_shard_are_those_of_its_service_model() -> None:
    """MB and MiB stand side by side there: the smaller ones are taken."""
    assert (
        LIMITS.value("kinesis.read_bytes") == documented("GetRecords", "up to ([0-9]+) MiB per second") * 1e6
    )
    put = documented("PutRecords", "total of ([0-9]+) MB per second")
    assert LIMITS.value("kinesis.put_bytes") == put * 1e6
    # what an answer of 10 MiB closes the shard for
    most = documented("GetRecords", "GetRecords can return is ([0-9]+) MiB") * 1e6
    closed = documented("GetRecords", "within the next ([0-9]+) seconds throw ProvisionedThroughput")
    assert most / LIMITS.value("kinesis.read_bytes") == closed


def test_an_append_may_be_as_large_as_googles_client_says() -> None:
    found = re.search(
        r"AppendRowsRequest must be less than ([0-9]+) MB", types.AppendRowsRequest.__doc__ or ""
    )
    assert found is not None
    assert LIMITS.value("storage_write.request_bytes") == float(found[1]) * 1e6
