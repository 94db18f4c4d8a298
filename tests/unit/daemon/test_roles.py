from typing import Any

import pytest
from botocore.exceptions import ClientError

from consumer.daemon.prepare import aws
from consumer.daemon.prepare.preparation import Unusable
from consumer.daemon.prepare.roles import assume_role_request
from consumer.settings import Settings, load

ROLE = "arn:aws:iam::222222222222:role/stream-reader"


def settings(**overrides: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in overrides.items()}
    return load("s3", overrides={"s3.bucket": "bucket", **named})


def test_the_role_is_asked_for_under_the_application_s_name() -> None:
    assert assume_role_request(settings()) is None
    assert assume_role_request(settings(kinesis__role_arn=ROLE, applicationName="a" * 100)) == {
        "RoleArn": ROLE,
        "RoleSessionName": "a" * 64,
    }
    chosen = settings(kinesis__role_arn=ROLE, kinesis__role_external_id="agreed")
    assert (assume_role_request(chosen) or {})["ExternalId"] == "agreed"


def test_a_role_that_is_refused_names_the_setting_and_the_two_policies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Sts:
        def assume_role(self, **_: str) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRole")

    monkeypatch.setattr(aws, "client", lambda service: Sts())
    chosen = settings(kinesis__role_arn=ROLE)
    service = aws.kcl_service(chosen, "Kinesis", "kinesisEndpoint")
    with pytest.raises(Unusable, match=r"^kinesis.role_arn: .*AccessDenied.*trust policy.*sts:AssumeRole"):
        aws.stream_client(chosen, service)
