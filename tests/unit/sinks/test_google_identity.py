"""Workload identity federation really run by google-auth, against servers that play AWS and Google."""

import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3
from google.auth import aws, exceptions
from google.auth.transport.urllib3 import Request

from consumer.domain.errors import SetupError, TransientError
from consumer.settings import load
from consumer.sinks.bigquery.api import identity as google_identity
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.api.identity import FILE_VARIABLE, GoogleIdentity, describe
from consumer.sinks.bigquery.api.token import BearerToken
from tests.unit.sinks.bigquery.loopback import Loopback, loopback_server, silence, status

PROVIDER = "projects/123/locations/global/workloadIdentityPools/aws/providers/account"
ACCOUNT = "consumer@project.iam.gserviceaccount.com"
EXPIRES = "2038-01-19T03:14:07Z"
TASK_KEYS = {"AccessKeyId": "ASIATASK", "SecretAccessKey": "s", "Token": "task token", "Expiration": EXPIRES}
INSTANCE_KEYS = {
    "Code": "Success",
    "Type": "AWS-HMAC",
    "AccessKeyId": "ASIAINSTANCE",
    "SecretAccessKey": "s",
    "Token": "instance token",
    "Expiration": EXPIRES,
}
EXCHANGED = {
    "access_token": "federated",
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "token_type": "Bearer",
    "expires_in": 3600,
}


@pytest.fixture(autouse=True)
def no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        FILE_VARIABLE,
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-west-1")  # the settings count, not this


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Google's token service, the service accounts' and BigQuery, in one."""
    with loopback_server() as server:
        monkeypatch.setattr(google_identity, "_TOKEN_URL", f"{server.url}/token")
        monkeypatch.setattr(
            google_identity, "_IMPERSONATION_URL", server.url + "/accounts/{}:generateAccessToken"
        )
        yield server


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with loopback_server() as server:
        yield server


@pytest.fixture
def on_ecs(metadata: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata.url}/role")
    metadata.answers = [answer(TASK_KEYS)]
    return metadata


@pytest.fixture
def on_ec2(metadata: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{metadata.url}/")
    metadata.answers = [status(200, b"imds token"), status(200, b"consumer-role"), answer(INSTANCE_KEYS)]
    return metadata


def answer(content: Mapping[str, object]) -> Callable[[Any], None]:
    return status(200, json.dumps(content).encode(), Content_Type="application/json")


def identity(**chosen: str) -> GoogleIdentity:
    given = {
        "bigquery.project": "project",
        "bigquery.dataset": "dataset",
        "deadletter.bucket": "bucket",
        "bigquery.credentials": "aws",
        "bigquery.identity_provider": PROVIDER,
        "regionName": "eu-west-1",
        **{f"bigquery.{key}": text for key, text in chosen.items()},
    }
    return GoogleIdentity.of(load("bigquery", overrides={key: text for key, text in given.items() if text}))


def connection(server: Loopback, wanted: GoogleIdentity) -> HttpConnection:
    return HttpConnection(endpoint=server.url, identity=wanted, connections=1)


def signed_request(exchange: bytes) -> dict[str, Any]:
    """The AWS request that Google is asked to send, from the form that was posted to its token service."""
    form = dict(urllib.parse.parse_qsl(exchange.decode()))
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert form["audience"] == f"//iam.googleapis.com/{PROVIDER}"
    assert form["subject_token_type"] == "urn:ietf:params:aws:token-type:aws4_request"
    request: dict[str, Any] = json.loads(urllib.parse.unquote(form["subject_token"]))
    request["headers"] = {header["key"].lower(): header["value"] for header in request["headers"]}
    return request


@pytest.mark.parametrize(
    ("where", "key", "token"),
    [("on_ecs", "ASIATASK", "task token"), ("on_ec2", "ASIAINSTANCE", "instance token")],
)
def test_the_role_of_a_task_or_an_instance_becomes_a_google_token(
    google: Loopback, request: pytest.FixtureRequest, where: str, key: str, token: str
) -> None:
    metadata: Loopback = request.getfixturevalue(where)
    google.answers = [answer(EXCHANGED)]
    bigquery = connection(google, identity())
    assert [bigquery.post("/insert", b"{}")[0] for _ in range(3)] == [200] * 3
    exchange, *inserts = google.seen
    aws_request = signed_request(exchange.body)
    assert aws_request["url"].startswith("https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&")
    assert aws_request["method"] == "POST"
    assert f"Credential={key}/" in aws_request["headers"]["authorization"]
    assert aws_request["headers"]["x-amz-security-token"] == token
    assert aws_request["headers"]["x-goog-cloud-target-resource"] == f"//iam.googleapis.com/{PROVIDER}"
    assert [seen.headers["authorization"] for seen in inserts] == ["Bearer federated"] * 3
    assert metadata.answers == []


def test_a_service_account_is_impersonated_when_one_is_named(google: Loopback, on_ecs: Loopback) -> None:
    impersonated = {"accessToken": "of the account", "expireTime": EXPIRES}
    google.answers = [answer(EXCHANGED), answer(impersonated)]
    bigquery = connection(google, identity(service_account=ACCOUNT))
    bigquery.post("/insert", b"{}")
    _, impersonation, insert = google.seen
    assert impersonation.path == f"/accounts/{ACCOUNT}:generateAccessToken"
    assert impersonation.headers["authorization"] == "Bearer federated"
    assert insert.headers["authorization"] == "Bearer of the account"


def test_a_configuration_file_made_by_gcloud_takes_the_role_of_a_task_too(
    google: Loopback, on_ecs: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself google-auth would ask an EC2 instance's metadata, which a task does not have."""
    file = tmp_path / "federation.json"
    content = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{PROVIDER}",
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": f"{google.url}/token",
        "credential_source": {
            "environment_id": "aws1",
            "url": "http://127.0.0.1:9/latest/meta-data/iam/security-credentials",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity",
        },
    }
    file.write_text(json.dumps(content))
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    google.answers = [answer(EXCHANGED)]
    bigquery = connection(google, identity(credentials="default", identity_provider=""))
    assert bigquery.post("/insert", b"{}")[0] == 200
    assert "ASIATASK" in signed_request(google.seen[0].body)["headers"]["authorization"]


def test_a_file_of_another_kind_is_google_s_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "user.json"
    user = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
    file.write_text(json.dumps(user))
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    wanted = identity(credentials="default", identity_provider="")
    assert describe(wanted.credentials()) == "an identity without a name (credentials.Credentials)"
    file.write_text("{")
    with pytest.raises(exceptions.DefaultCredentialsError):
        wanted.credentials()


def test_without_a_role_someone_has_to_act(google: Loopback) -> None:
    with pytest.raises(SetupError, match="credentials: no AWS credentials: none found") as caught:
        connection(google, identity()).post("/insert", b"{}")
    assert caught.value.setting == "bigquery.credentials"
    assert google.seen == []


@pytest.mark.parametrize(
    ("code", "expected"), [(400, SetupError), (403, SetupError), (429, TransientError), (503, TransientError)]
)
def test_a_refused_exchange_asks_for_a_person_and_an_outage_for_patience(
    google: Loopback, on_ecs: Loopback, code: int, expected: type[Exception]
) -> None:
    refusal = json.dumps({"error": "invalid_grant"}).encode()
    google.answers = [status(code, refusal, Content_Type="application/json")] * 9
    with pytest.raises(expected):
        connection(google, identity()).post("/insert", b"{}")


def test_who_asks_is_said(google: Loopback, on_ecs: Loopback) -> None:
    google.answers = [answer(EXCHANGED)]
    credentials = identity().credentials()
    credentials.refresh(Request(urllib3.PoolManager()))  # type: ignore[no-untyped-call]
    assert isinstance(credentials, aws.Credentials)
    assert describe(credentials) == f"the AWS role itself, by the AWS role of this host and {PROVIDER}"
    named = identity(service_account=ACCOUNT).credentials()
    assert describe(named).startswith(f"{ACCOUNT}, by the AWS role of this host")


def test_a_token_service_that_stays_silent_is_given_up_after_the_read_timeout(
    google: Loopback, on_ecs: Loopback
) -> None:
    google.answers = [silence]
    token = BearerToken(identity().credentials, connect_timeout_seconds=5, read_timeout_seconds=0.05)
    with pytest.raises(TransientError, match="timed out"):
        token.headers()


TOO_LONG = (
    "The size of mapped attribute google.subject exceeds the 127 bytes limit. Either modify your attribute mapping or"
    " the incoming assertion to produce a mapped attribute that is less than 127 bytes."
)
ROLE = "consumer-of-player-logs-in-production-europe-task-role-0123456789"
ARN = f"arn:aws:sts::123456789012:assumed-role/{ROLE}/0123456789abcdef0123456789abcdef"


@pytest.mark.usefixtures("on_ecs")
@pytest.mark.parametrize("sts_answers", [True, False])
def test_a_role_whose_name_is_too_long_is_named_with_its_length(
    google: Loopback, monkeypatch: pytest.MonkeyPatch, sts_answers: bool
) -> None:
    error = json.dumps({"error": "invalid_request", "error_description": TOO_LONG}).encode()
    google.answers = [status(400, error, Content_Type="application/json")]
    caller = f"<R><GetCallerIdentityResult><Arn>{ARN}</Arn></GetCallerIdentityResult></R>"
    with loopback_server() as sts:
        sts.answers = [status(200 if sts_answers else 500, caller.encode(), Content_Type="text/xml")]
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        with pytest.raises(SetupError) as caught:
            connection(google, identity()).post("/insert", b"{}")
    assert caught.value.setting == "bigquery.credentials"
    assert "127 bytes: give the role a shorter name" in str(caught.value)
    told = f"{ARN} ({len(ARN)} bytes): the role's name, {ROLE}, has {len(ROLE)} characters"
    assert (told in str(caught.value)) is sts_answers
