"""Errors in the notation of each service, read by the clients that the daemon uses."""

import json

import pytest
from botocore.parsers import RestXMLParser

from consumer.local.faults.answers import render
from consumer.local.faults.rules import Answer


def test_s3_answers_in_xml() -> None:
    response = render(Answer(503, "SlowDown", "less & less"), "s3")
    parsed = RestXMLParser().parse(
        {"body": response.body, "status_code": response.status, "headers": {}}, None
    )
    assert parsed["Error"] == {"Code": "SlowDown", "Message": "less & less"}


@pytest.mark.parametrize("service", ["kinesis", "dynamodb"])
def test_kinesis_and_dynamodb_answer_with_a_type(service: str) -> None:
    response = render(Answer(400, "ExpiredIteratorException"), service)
    assert json.loads(response.body)["__type"] == "ExpiredIteratorException"


@pytest.mark.parametrize(
    ("status", "word"), [(404, "NOT_FOUND"), (500, "INTERNAL"), (429, "RESOURCE_EXHAUSTED")]
)
def test_bigquery_answers_with_a_reason_and_a_status(status: int, word: str) -> None:
    error = json.loads(render(Answer(status, "why"), "bigquery").body)["error"]
    assert (error["code"], error["status"], error["errors"][0]["reason"]) == (status, word, "why")
