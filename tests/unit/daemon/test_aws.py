"""The supervisor's clients of AWS."""

from typing import Any

import pytest

from consumer.daemon.prepare import aws
from consumer.settings import load


@pytest.mark.parametrize("maker", ["boto3.client", "s3_client_of"])
def test_clients_are_made_one_after_the_other(monkeypatch: pytest.MonkeyPatch, maker: str) -> None:
    """Preparation asks many questions at once, each in a thread of its own."""
    monkeypatch.setattr(f"consumer.daemon.prepare.aws.{maker}", lambda *_, **__: aws._MAKING.locked())
    settings = load("s3", overrides={"s3.bucket": "bucket", "regionName": "eu-west-1"})
    made: Any = {
        "boto3.client": lambda: aws.client(aws.sts_service(settings)),
        "s3_client_of": lambda: aws.bucket_client(settings),
    }[maker]()
    assert made
    assert not aws._MAKING.locked()
