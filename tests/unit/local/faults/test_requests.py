"""What a request is for, by its head."""

import pytest

from consumer.local.faults.requests import aws_request, bigquery_request


@pytest.mark.parametrize(
    ("method", "path", "target", "service", "operation"),
    [
        ("POST", "/", "Kinesis_20131202.GetRecords", "kinesis", "GetRecords"),
        ("POST", "/", "DynamoDB_20120810.UpdateItem", "dynamodb", "UpdateItem"),
        ("PUT", "/bucket/a/b", "", "s3", "PutObject"),
        ("PUT", "/bucket", "", "s3", "CreateBucket"),
        ("HEAD", "/bucket", "", "s3", "HeadBucket"),
        ("GET", "/bucket/", "", "s3", "ListObjects"),
        ("GET", "/bucket/key", "", "s3", "GetObject"),
        ("OPTIONS", "/bucket/key", "", "s3", "OPTIONS"),
    ],
)
def test_requests_to_aws(method: str, path: str, target: str, service: str, operation: str) -> None:
    headers = [(b"X-Amz-Target", target.encode())] if target else [(b"host", b"localhost")]
    found = aws_request({"method": method, "path": path, "headers": headers})
    assert (found.service, found.operation, found.path) == (service, operation, path)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/bigquery/v2/projects/p/datasets/d/tables/t/insertAll", "insertAll"),
        ("GET", "/bigquery/v2/projects/p/datasets/d/tables/t", "GET tables"),
        ("POST", "/bigquery/v2/projects/p/datasets/d/tables", "POST tables"),
        ("POST", "/bigquery/v2/projects/p/queries", "POST queries"),
        ("GET", "/discovery", "GET /discovery"),
    ],
)
def test_requests_to_bigquery(method: str, path: str, operation: str) -> None:
    found = bigquery_request({"method": method, "path": path, "headers": []})
    assert (found.service, found.operation) == ("bigquery", operation)
