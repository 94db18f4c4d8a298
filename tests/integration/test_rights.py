"""Each request of `check` and of the preparation is refused once: a line names the permission and the setting; and what
they ask is what the table of rights says."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
import requests
from botocore.awsrequest import AWSResponse

from consumer.daemon.commands.questions import ask_all, checks_of
from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.backend import prepare_backend
from consumer.daemon.prepare.preparation import Patience, Stopped
from consumer.daemon.prepare.rights import RIGHTS
from consumer.daemon.report.log import Log
from consumer.local import stack as stacks
from consumer.local.stack import Stack
from consumer.settings import Backend, Settings, load

pytestmark = pytest.mark.integration

PERMISSIONS = {"s3:ListObjectsV2": "s3:ListBucket"}
NAMED_BY = {
    "kinesis": "streamName: ",
    "dynamodb": "applicationName: ",
    "s3": "s3.bucket: ",
    "sts": "kinesis.role_arn: ",
    "bigquery": "bigquery.project, bigquery.dataset: ",
}
ROLE = "arn:aws:iam::123456789012:role/reader"
GOOGLE = {
    ("GET", "datasets"): "bigquery.datasets.get",
    ("POST", "datasets"): "bigquery.datasets.create",
    ("GET", "tables"): "bigquery.tables.get",
    ("POST", "tables"): "bigquery.tables.create",
    ("PATCH", "tables"): "bigquery.tables.update",
    ("POST", "insertAll"): "bigquery.tables.updateData",
}
"""Permissions by the method and the collection of bigquery.datasets.get, datasets.insert, tables.get, tables.insert,
tables.patch and tabledata.insertAll."""


@dataclass
class World:
    """Everything that is asked, by the permission that it takes; `refuse` says what is refused."""

    asked: set[str] = field(default_factory=set)
    refuse: Callable[[str], bool] = lambda permission: False
    says: str = "Access Denied"

    def see_aws(self, model: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        service = model.service_model.service_name
        name = f"{service}:{model.name}"
        permission = PERMISSIONS.get(name, name)
        self.asked.add(permission)
        if not self.refuse(permission):
            return None
        error = {"Code": "AccessDeniedException", "Message": self.says}
        metadata = {"HTTPStatusCode": 403, "HTTPHeaders": {}}
        return AWSResponse("", 403, {}, None), {"Error": error, "ResponseMetadata": metadata}

    def see_google(self, method: str, url: str) -> requests.Response | None:
        words = url.partition("?")[0].rstrip("/").split("/")
        collection = next(word for word in reversed(words) if word in ("insertAll", "tables", "datasets"))
        permission = GOOGLE[method, collection]
        self.asked.add(permission)
        if not self.refuse(permission):
            return None
        response = requests.Response()
        response.status_code = 403
        response.headers["Content-Type"] = "application/json"
        error = {"reason": "accessDenied", "message": self.says}
        body = {"error": {"code": 403, "message": self.says, "errors": [error]}}
        response._content = json.dumps(body).encode()
        response.request = requests.Request(method, url).prepare()
        return response


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stacks.running(tmp_path_factory.mktemp("rights"), shards=1) as running:
        yield running.stack


@pytest.fixture
def world(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    for name, value in stacks.environment(stack).items():
        monkeypatch.setenv(name, value)
    get_session = botocore.session.get_session

    def watched_session(*arguments: Any, **named: Any) -> botocore.session.Session:
        session = get_session(*arguments, **named)
        session.register("before-call", world.see_aws)
        return session

    monkeypatch.setattr(botocore.session, "get_session", watched_session)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    ask = requests.Session.request

    def request(self: requests.Session, method: str, url: str, *arguments: Any, **named: Any) -> Any:
        refusal = world.see_google(method, url)
        return ask(self, method, url, *arguments, **named) if refusal is None else refusal

    monkeypatch.setattr(requests.Session, "request", request)
    return world


def settings_of(stack: Stack, backend: Backend, state: Path, changes: dict[str, str]) -> Settings:
    overrides = {**stacks.overrides(stack, backend), "worker.state_dir": str(state), **changes}
    return load(backend, overrides=overrides)


def told(settings: Settings) -> list[str]:
    """The faults and notes of `check`, then the faults of a preparation, which is stopped at the first one."""
    answers = ask_all(checks_of(settings, now=time.time))
    lines = [answer.message for answer in answers if not answer.ok or "not allowed" in answer.message]
    faults: list[str] = []

    def pause(_: float) -> bool:
        return bool(faults)

    patience = Patience(
        timeout_seconds=60, monotonic=time.monotonic, pause=pause, tell=lambda these: faults.extend(these)
    )
    log = Log(backend=settings.backend, level="ERROR", clock=lambda: 0, write=lambda line: None)
    try:
        prepare_backend(settings, patience, log)
    except Stopped:
        pass
    except StartFailed as failed:
        faults.extend(failed.messages)
    return lines + faults


VARIANTS: list[tuple[Backend, dict[str, str]]] = [
    ("s3", {}),
    ("s3", {"s3.tags": "a=b", "s3.sse": "aws:kms", "retrievalMode": "FANOUT"}),
    ("s3", {"kinesis.role_arn": ROLE, "coordinatorStatePointInTimeRecoveryEnabled": "true"}),
    ("bigquery", {}),
    ("bigquery", {"bigquery.method": "storage_write"}),
    ("bigquery", {"bigquery.add_columns": "true", "bigquery.view": "all_logs"}),
]


@pytest.mark.parametrize(("backend", "changes"), VARIANTS)
def test_each_right_that_is_missing_is_a_line_with_the_permission_and_the_setting(
    stack: Stack, world: World, tmp_path: Path, backend: Backend, changes: dict[str, str]
) -> None:
    name = f"v{VARIANTS.index((backend, changes))}"
    own = {"applicationName": name}
    if backend == "bigquery":
        own |= {"bigquery.table_prefix": name, "bigquery.key_digits": "0"}
    settings = settings_of(stack, backend, tmp_path, {**own, **changes})
    for _ in range(2):  # the second time with tables
        assert told(settings) == []
    asked = world.asked - {"sts:GetCallerIdentity"}
    wanted = {action for right in RIGHTS if right.is_wanted(settings) for action in right.actions}
    assert asked - wanted == set()
    assert {"kinesis:GetRecords", "dynamodb:PutItem", "s3:PutObject"} <= asked
    for permission in sorted(filter(tried_here(settings, changes), asked)):
        fresh = settings_of(stack, backend, tmp_path, {**own, **changes, **made_anew(permission, name)})
        world.refuse = permission.__eq__
        lines = told(fresh)
        assert any(permission in line for line in lines), (permission, lines)
        service = permission.replace(".", ":").partition(":")[0]
        [line, *_] = [line for line in lines if permission in line]
        settings_named = (NAMED_BY[service], "bigquery.positions_table: ", "deadletter.bucket: ")
        assert line.startswith(settings_named), line
        assert "\n" not in line


def tried_here(settings: Settings, changes: dict[str, str]) -> Callable[[str], bool]:
    """With settings of its own a variant tries what these ask for; bigquery without any what s3 has not tried."""
    more = {action for right in RIGHTS if right.key_of(settings) for action in right.actions}
    if changes:
        return more.__contains__
    return lambda permission: settings.backend == "s3" or permission.startswith("bigquery.")


def puts(lines: list[str]) -> list[str]:
    found = [line for line in lines if "_check/" in line]
    assert len(found) == 2, lines
    return found


def test_a_put_that_is_refused_names_what_its_settings_ask_for_unless_s3_says_which_it_is(
    stack: Stack, world: World, tmp_path: Path
) -> None:
    settings = settings_of(stack, "s3", tmp_path, {"s3.tags": "a=b", "s3.sse": "aws:kms"})
    world.refuse = "s3:PutObject".__eq__
    bucket, letters = puts(told(settings))
    needs = "s3:PutObject and s3:PutObjectTagging (for s3.tags) and kms:GenerateDataKey (for s3.sse)"
    assert bucket.startswith("s3.bucket: ")
    assert f"give the role {needs} (docs/permissions.md)" in bucket
    assert letters.startswith("deadletter.bucket: ")
    assert "s3:PutObjectTagging" not in letters
    world.says = "User: arn:aws:sts::1:r is not authorized to perform: kms:GenerateDataKey on resource: k"
    bucket, letters = puts(told(settings))
    assert "give the role kms:GenerateDataKey (for s3.sse) (docs/permissions.md)" in bucket


def test_a_view_over_tables_that_may_not_be_queried_names_the_permission_that_google_does_not(
    stack: Stack, world: World, tmp_path: Path
) -> None:
    own = {"bigquery.view": "all_unseen", "bigquery.table_prefix": "unseen", "bigquery.key_digits": "0"}
    settings = settings_of(stack, "bigquery", tmp_path, own)
    world.says = "Access Denied: Table p:d.t: User does not have permission to query table p:d.t"
    refused = iter([False, True])  # the table is made, the view is not
    world.refuse = lambda permission: permission == "bigquery.tables.create" and next(refused)
    [line] = told(settings)
    assert "give the role bigquery.tables.create and bigquery.tables.getData (for bigquery.view) (" in line


def made_anew(permission: str, name: str) -> dict[str, str]:
    """What is asked only where something is missing."""
    if permission in ("dynamodb:CreateTable", "dynamodb:UpdateContinuousBackups"):
        return {"applicationName": f"{name}-{permission[9:]}"}
    if permission == "bigquery.datasets.create":
        return {"bigquery.dataset": f"{name}_other"}
    if permission == "bigquery.tables.create":
        return {"bigquery.table_prefix": f"{name}_other"}
    return {}
