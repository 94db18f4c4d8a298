from typing import Any

import pytest
from google.auth import exceptions

from consumer.daemon.prepare.bigquery_probes import identity
from consumer.daemon.prepare.preparation import Unusable
from consumer.sinks.bigquery.api.identity import GoogleIdentity


class Credentials:
    service_account_email = "consumer@project.iam.gserviceaccount.com"

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def refresh(self, request: object) -> None:
        if self._error:
            raise self._error


def identity_with(monkeypatch: pytest.MonkeyPatch, credentials: Any) -> str:
    monkeypatch.setattr(GoogleIdentity, "credentials", lambda _: credentials)
    return identity(GoogleIdentity(kind="default", aws_region="eu-west-1"))


def test_the_identity_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = identity_with(monkeypatch, Credentials())
    assert named == "consumer@project.iam.gserviceaccount.com (test_bigquery_probes.Credentials)"


def test_an_identity_that_google_refuses_is_one_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error: Any = exceptions.RefreshError  # google-auth has hardly any types
    with pytest.raises(Unusable, match=r"^bigquery.credentials: .*invalid_grant"):
        identity_with(monkeypatch, Credentials(error("invalid_grant\nwhy")))


def test_nobody_is_asked_for_nobody() -> None:
    assert identity(GoogleIdentity(kind="anonymous", aws_region="eu-west-1")).startswith("anonymous")
