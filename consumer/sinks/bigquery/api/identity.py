"""Who the daemon is to Google, and the credentials that go with it.

google-auth by itself knows AWS credentials from the environment and from an EC2 instance. Here botocore's chain
supplies them, so that the role of an ECS task counts as well, and keys are renewed before they expire.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import google.auth
import google.auth.exceptions
from botocore.config import Config
from google.auth import aws
from google.auth.credentials import AnonymousCredentials

from consumer.domain.errors import TransientError
from consumer.settings import Settings
from consumer.sinks.aws import AWS_ERRORS, delivery_error

SCOPES = ("https://www.googleapis.com/auth/bigquery",)
FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"

_SETTING = "bigquery.credentials"
_SUBJECT_TOO_LONG = r"google\.subject exceeds"
_HOW_TO_SHORTEN = (
    "since Google takes 127 bytes: give the role a shorter name, or map google.subject to less of it in the provider's"
    " attribute mapping"
)
_AUDIENCE = "//iam.googleapis.com/"
_TOKEN_URL = "https://sts.googleapis.com/v1/token"
_TOKEN_TYPE = "urn:ietf:params:aws:token-type:aws4_request"
_IMPERSONATION_URL = (
    "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{}:generateAccessToken"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleIdentity:
    """What the settings say of it. `kind` is bigquery.credentials: `default`, `aws` or `anonymous`."""

    kind: str
    aws_region: str
    provider: str | None = None
    service_account: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> GoogleIdentity:
        return cls(
            kind=settings.text(_SETTING),
            aws_region=settings.text("regionName"),
            provider=settings.optional_text("bigquery.identity_provider"),
            service_account=settings.optional_text("bigquery.service_account"),
        )

    def credentials(self) -> Any:
        """google-auth credentials for BigQuery. May read a file; raises google.auth.exceptions.GoogleAuthError."""
        if self.kind == "anonymous":
            return AnonymousCredentials()  # type: ignore[no-untyped-call]
        configuration = self._federation()
        if configuration is None:
            credentials, _ = google.auth.default(scopes=SCOPES)
            return credentials
        supplier = _BotocoreSupplier(self.aws_region)
        return _Federated.from_info(  # type: ignore[no-untyped-call]
            configuration, aws_security_credentials_supplier=supplier, scopes=SCOPES
        )

    def _federation(self) -> dict[str, Any] | None:
        """The configuration of workload identity federation, from the settings or a file made by gcloud."""
        if self.kind != "aws":
            return _aws_configuration_file()
        configuration = {
            "audience": f"{_AUDIENCE}{self.provider}",
            "subject_token_type": _TOKEN_TYPE,
            "token_url": _TOKEN_URL,
        }
        if self.service_account is not None:
            configuration["service_account_impersonation_url"] = _IMPERSONATION_URL.format(
                self.service_account
            )
        return configuration


def describe(credentials: Any) -> str:
    """Who asks, in words."""
    account = getattr(credentials, "service_account_email", None)
    if isinstance(credentials, aws.Credentials):
        provider = str(credentials.info["audience"]).removeprefix(_AUDIENCE)
        return f"{account or 'the AWS role itself'}, by the AWS role of this host and {provider}"
    kind = f"{type(credentials).__module__.rpartition('.')[2]}.{type(credentials).__name__}"
    return f"{account or 'an identity without a name'} ({kind})"


class _Federated(aws.Credentials):
    """Tells an outage of Google's token services from a refusal, which google-auth does not."""

    def refresh(self, request: Any) -> None:
        """Raises google.auth.exceptions.TransportError for what passes, other GoogleAuthErrors for the rest."""

        def ask(*arguments: Any, **named: Any) -> Any:
            response = request(*arguments, **named)
            if response.status >= 500 or response.status in (408, 429):
                raise google.auth.exceptions.TransportError(  # type: ignore[no-untyped-call]
                    f"{named.get('url')} answers {response.status}"
                )
            return response

        try:
            super().refresh(ask)  # type: ignore[no-untyped-call]
        except google.auth.exceptions.GoogleAuthError as error:
            if not re.search(_SUBJECT_TOO_LONG, str(error)):
                raise
            raise _unusable(f"{self._aws_security_credentials_supplier.subject()}; {error}") from error


class _BotocoreSupplier(aws.AwsSecurityCredentialsSupplier):
    """AWS credentials as every other client of this process has them."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._session = botocore.session.get_session()

    def get_aws_security_credentials(self, context: object, request: object) -> aws.AwsSecurityCredentials:
        """May ask the metadata service. Raises google.auth.exceptions.RefreshError."""
        try:
            found = self._session.get_credentials()
            frozen = None if found is None else found.get_frozen_credentials()
        except AWS_ERRORS as error:
            waitable = isinstance(delivery_error(error, setting=_SETTING), TransientError)
            raise _unusable(f"no AWS credentials: {error}", retryable=waitable) from error
        if frozen is None:
            raise _unusable("no AWS credentials: none found", retryable=False)
        return aws.AwsSecurityCredentials(frozen.access_key, frozen.secret_key, frozen.token)

    def subject(self) -> str:
        """What google.subject is, and what may be done about its length. Asks STS, and does without its answer."""
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
        try:
            sts = self._session.create_client("sts", region_name=self._region, config=config)
            arn = str(sts.get_caller_identity()["Arn"])
        except AWS_ERRORS:
            return f"the role's name is too long for google.subject, {_HOW_TO_SHORTEN}"
        role = arn.split("/")[1] if "/" in arn else arn
        return (
            f"google.subject is {arn} ({len(arn.encode())} bytes): the role's name, {role}, has {len(role)} characters"
            f" and is too long, {_HOW_TO_SHORTEN}"
        )

    def get_aws_region(self, context: object, request: object) -> str:
        return self._region


def _unusable(message: str, *, retryable: bool = False) -> Exception:
    error: Exception = google.auth.exceptions.RefreshError(  # type: ignore[no-untyped-call]
        message, retryable=retryable
    )
    return error


def _aws_configuration_file() -> dict[str, Any] | None:
    """The file that GOOGLE_APPLICATION_CREDENTIALS names, without its source of AWS credentials, if it is one for
    AWS. Whatever else it is, google-auth reads it, and says what is wrong with it."""
    try:
        content = json.loads(Path(os.environ[FILE_VARIABLE]).read_bytes())
        environment = content["credential_source"]["environment_id"]
    except (KeyError, OSError, ValueError, TypeError):
        return None
    if not str(environment).startswith("aws"):
        return None
    return {key: value for key, value in content.items() if key != "credential_source"}
