"""What deploy/ says, against those who read it: parsers, the AWS SDK's models, the KCL's jar, our own settings."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.session
import botocore.validate
import pytest
from botocore import xform_name

from consumer.cli import COMMANDS
from consumer.daemon.prepare.aws_probes import PROBE_FOLDER
from consumer.settings import BACKENDS, PROJECT_ROOT, Backend, Settings, load

DEPLOY = PROJECT_ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "consumer@.service"
GRACE_SECONDS = 40.0
PLACEHOLDERS = {
    "ACCOUNT_ID": "123456789012",
    "APPLICATION_NAME": "application",
    "BUCKET_NAME": "bucket",
    "CONSUMER_OWNER_ID": "123456789012",
    "CLUSTER_NAME": "cluster",
    "DATABASE_NAME": "lake",
    "DATASET_NAME": "dataset",
    "EXTERNAL_ID": "agreed",
    "IMAGE_TAG": "1",
    "KEY_ID": "key",
    "PROJECT_ID": "project",
    "PROJECT_NUMBER": "1234567890",
    "REGION": "eu-west-1",
    "ROLE_NAME": "consumer",
    "SECRET_NAME": "secret",
    "SECURITY_GROUP_ID": "sg-1",
    "STREAM_OWNER_ID": "222222222222",
    "STREAM_NAME": "logs",
    "STREAM_KMS_ID": "streams-key",
    "SUBNET_ID": "subnet-1",
    "TABLE_NAME": "logs",
}
S3_PERMISSIONS = {"ListBucket": "ListObjectsV2"}
"""Permissions that are not named after their operation."""


def filled(path: Path) -> Any:
    """The file's JSON with its placeholders replaced, as the guides say."""
    text = re.sub(
        r"\b(" + "|".join(PLACEHOLDERS) + r")\b", lambda match: PLACEHOLDERS[match[1]], path.read_text()
    )
    assert not re.findall(r"\b(?!CONSUMER_SET_)[A-Z]+_[A-Z_]*(?:NAME|ID|TAG)\b", text), (
        f"an unknown placeholder in {path.name}"
    )
    return json.loads(text)


def statements(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = filled(DEPLOY / "iam" / f"{name}.json")["Statement"]
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def actions(name: str) -> set[str]:
    return {action for statement in statements(name) for action in listed(statement["Action"])}


def settings_of_task(backend: Backend) -> Settings:
    container = filled(DEPLOY / "ecs" / f"{backend}.task.json")["containerDefinitions"][0]
    environment = {one["name"]: one["value"] for one in container["environment"]}
    return load(backend, file=PROJECT_ROOT / "properties" / f"{backend}.properties", environment=environment)


@pytest.mark.parametrize("path", sorted((DEPLOY / "iam").glob("*.json")), ids=lambda path: path.stem)
def test_every_action_of_a_policy_is_an_operation_of_its_service(path: Path) -> None:
    loader = botocore.loaders.Loader()
    for action in actions(path.stem):
        service, _, permission = action.partition(":")
        operations = loader.load_service_model(service, "service-2")["operations"]
        assert S3_PERMISSIONS.get(permission, permission) in operations, action


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted((DEPLOY / "iam").glob("*.json")) if "trust" not in path.stem]
)
def test_a_policy_names_resources_and_has_no_wildcard_action(name: str) -> None:
    assert not any("*" in action for action in actions(name))
    anything = [statement["Action"] for statement in statements(name) if statement["Resource"] == "*"]
    assert anything in (
        [],
        ["cloudwatch:PutMetricData"],
    )  # it takes no resource; its condition names the namespace


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_policy_covers_what_the_properties_files_name(backend: Backend) -> None:
    settings = settings_of_task(backend)
    resources = {one for statement in statements(backend) for one in listed(statement["Resource"])}
    tables = {one.partition(":table/")[2] for one in resources if ":table/" in one and "/index/" not in one}
    counts = {f"{settings.text('applicationName')}-BigQueryStreams"} if backend == "bigquery" else set()
    assert tables == {*settings.lease_tables, *counts}
    prefixes = [settings.text("deadletter.prefix")]
    if backend == "s3":
        prefixes.append(settings.text("s3.prefix"))
    for prefix in prefixes:
        assert f"arn:aws:s3:::bucket/{prefix}*" in resources
        assert f"arn:aws:s3:::bucket/{prefix}{PROBE_FOLDER}*" in resources
    metrics = next(one for one in statements(backend) if one["Action"] == "cloudwatch:PutMetricData")
    namespace = settings.text("applicationName")
    assert metrics["Condition"] == {"StringEquals": {"cloudwatch:namespace": namespace}}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "operation"), [("task", "RegisterTaskDefinition"), ("service", "CreateService")]
)
def test_ecs_takes_the_definitions(backend: Backend, kind: str, operation: str) -> None:
    definition = filled(DEPLOY / "ecs" / f"{backend}.{kind}.json")
    shape = botocore.session.get_session().get_service_model("ecs").operation_model(operation).input_shape
    report = botocore.validate.ParamValidator().validate(definition, shape)
    assert report.generate_report() == ""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_task_has_valid_settings_and_more_time_to_stop_than_the_daemon_takes(backend: Backend) -> None:
    container = filled(DEPLOY / "ecs" / f"{backend}.task.json")["containerDefinitions"][0]
    settings = settings_of_task(backend)
    assert settings.warnings == ()
    assert container["command"] == ["start", backend]
    assert grace_seconds(settings) == GRACE_SECONDS
    assert GRACE_SECONDS < container["stopTimeout"] <= 120  # ECS allows no more
    assert container["healthCheck"]["command"][1:-1] == ["/opt/consumer/.venv/bin/python", "-m", "consumer"]
    assert container["healthCheck"]["command"][-1] in COMMANDS


def grace_seconds(settings: Settings) -> float:
    return settings.integer("shutdownGraceMillis") / 1000 + settings.seconds("supervisor.grace_margin")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_image_holds_what_the_task_names(backend: Backend) -> None:
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text()
    container = filled(DEPLOY / "ecs" / f"{backend}.task.json")["containerDefinitions"][0]
    assert f"USER {container['user']}" in dockerfile
    assert json.dumps(container["healthCheck"]["command"][1:]) in dockerfile
    assert json.dumps([mount["containerPath"] for mount in container["mountPoints"]]) in dockerfile


def test_what_the_image_is_built_on_is_named_by_its_digest() -> None:
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG BASE=(.*)$", dockerfile, re.MULTILINE)
    assert re.fullmatch(r"python:3\.13-slim-\w+@sha256:[0-9a-f]{64}", base)
    images = re.findall(r"^FROM (\S+)|--from=(\S+)", dockerfile, re.MULTILINE)
    assert {"".join(image) for image in images} == {"${BASE}", "build"}


def test_systemd_waits_longer_than_the_daemon_takes_and_signals_the_supervisor_alone() -> None:
    unit = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    assert float(unit["TimeoutStopSec"]) > GRACE_SECONDS
    assert unit["KillMode"] == "mixed"
    assert unit["RestartPreventExitStatus"] == "2"
    assert "CONSUMER_SET_WORKER__STATE_DIR=/var/lib/consumer" in UNIT.read_text()


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    shutil.copy(UNIT, tmp_path)
    done = subprocess.run(
        [tool, "verify", "--man=no", tmp_path / "consumer@s3.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "consumer@" in line]
    assert ours == []


def test_the_guide_raises_the_hop_limit_of_the_metadata_service_for_containers() -> None:
    guide = (PROJECT_ROOT / "docs/ec2.md").read_text()
    (command,) = re.findall(
        r"`aws ec2 (modify-[a-z-]+) --instance-id … --http-put-response-hop-limit 2`", guide
    )
    model = botocore.session.get_session().get_service_model("ec2")
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    members = model.operation_model(operations[command]).input_shape.members
    assert "HttpPutResponseHopLimit" in members


def test_google_takes_the_role() -> None:
    role = json.loads((DEPLOY / "google" / "role.json").read_bytes())
    assert set(role) == {"title", "description", "stage", "includedPermissions"}
    assert all(
        re.fullmatch(r"bigquery\.(datasets|tables)\.[a-zA-Z]+", one) for one in role["includedPermissions"]
    )


@pytest.mark.parametrize("page", ["ec2.md", "ecs.md"])
def test_a_guide_names_only_files_commands_and_placeholders_that_exist(page: str) -> None:
    text = (PROJECT_ROOT / "docs" / page).read_text()
    for name in set(re.findall(r"\b(?:deploy|properties|docs)/[\w@./-]+\.\w+", text)):
        assert (PROJECT_ROOT / name).exists(), name
    for name in set(re.findall(r"\bbin/([\w-]+)", text)) - {"python"}:
        assert (PROJECT_ROOT / "bin" / name).exists(), name
    for name in set(re.findall(r"^s/(\w+)/", text, re.MULTILINE)):
        assert name in PLACEHOLDERS, name
