"""docs/ec2.md and docs/ecs.md from their first to their last line, for each backend and for both."""

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore import xform_name

from consumer.daemon.prepare.rights import LATER, RIGHTS
from consumer.settings import PROJECT_ROOT, Backend, load
from tests.unit.deploy.guide import GOOGLE, Walk, blocks_of, walk

type Case = tuple[str, tuple[Backend, ...]]
"""A page, and the backends that are set up by it."""

CASES: list[Case] = [
    (page, backends) for page in ("ec2", "ecs") for backends in (("s3",), ("bigquery",), ("s3", "bigquery"))
]
STATE = "CONSUMER_SET_WORKER__STATE_DIR"
CLI_ALONE = {("ecr", "get-login-password"), ("logs", "tail")}
"""Commands of the AWS CLI that are no operation of their service."""
CLI_GLOBAL = {"query", "output"}
CLI_RENAMED = {("sns", "subscribe", "notification-endpoint"): "endpoint"}
"""Options that the AWS CLI calls otherwise than the operation does, since it has a global one of that name."""


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Walk]:
    return {case: walk(*case, tmp_path_factory.mktemp("guide")) for case in CASES}


def name_of(case: Case) -> str:
    page, backends = case
    return f"{page} {' and '.join(backends)}"


def only(page: str) -> pytest.MarkDecorator:
    """For tests of one of the pages."""
    cases = [case for case in CASES if case[0] == page]
    return pytest.mark.parametrize("case", cases, indirect=True, ids=name_of)


@pytest.fixture(params=CASES, ids=name_of)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def gone(case: Case, walks: dict[Case, Walk]) -> Walk:
    """The whole way, whose commands have all ended with 0."""
    return walks[case]


def role_of(page: str, backend: Backend) -> str:
    return "consumer" if page == "ec2" else f"consumer-{backend}"


def policies(gone: Walk) -> dict[tuple[str, str], Any]:
    """The documents by role and name, as IAM keeps them."""
    put = gone.of("aws", "iam", "put-role-policy")
    named = [(str(call.option("role-name")), str(call.option("policy-name"))) for call in put]
    assert len(set(named)) == len(named), f"one policy takes the place of another: {named}"
    return {name: gone.document(call, "policy-document") for name, call in zip(named, put, strict=True)}


def test_every_call_of_aws_is_one_that_aws_knows(gone: Walk) -> None:
    session = botocore.session.get_session()
    calls = gone.of("aws")
    assert calls
    for call in calls:
        service, command = call.arguments[:2]
        if (service, command) in CLI_ALONE:
            continue
        model = session.get_service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(operations[command]).input_shape
        members = {xform_name(name, "-"): name for name in shape.members}
        options = {word[2:].partition("=")[0] for word in call.arguments[2:] if word.startswith("--")}
        given = {CLI_RENAMED.get((service, command, name), name) for name in options - CLI_GLOBAL}
        if given == {"cli-input-json"}:
            assert set(gone.document(call, "cli-input-json")) <= set(shape.members)
            continue
        assert given <= set(members), call.arguments
        assert set(shape.required_members) <= {members[name] for name in given}, call.arguments


def test_no_document_that_is_sent_has_a_value_left_to_replace(gone: Walk) -> None:
    named = {path.name: path.read_text() for path in (gone.root / "work").glob("my-*.json")}
    text = json.dumps(named)
    assert re.findall(r"\b(?!CONSUMER_SET_)[A-Z]+_[A-Z_]*(?:NAME|ID|TAG|NUMBER)\b|\bREGION\b", text) == []


def test_no_policy_takes_the_place_of_another_and_each_is_in_a_role_that_was_made(
    case: Case, gone: Walk
) -> None:
    page, backends = case
    kept = policies(gone)
    made: set[str] = set()
    for call in gone.of("aws", "iam"):
        name = call.option("role-name")
        if call.arguments[1] == "create-role":
            assert name not in made, f"{name} is made twice"
            made.add(str(name))
        elif name is not None:
            assert name in made, call.arguments
    for backend in backends:
        statements = kept[role_of(page, backend), backend]["Statement"]
        assert {"ReadTheStream", "KeepLeasesAndCheckpoints"} <= {one["Sid"] for one in statements}


def test_the_policies_are_for_the_bucket_and_the_stream_of_the_settings(case: Case, gone: Walk) -> None:
    page, backends = case
    for backend in backends:
        if page == "ec2":
            settings = gone.settings(backend)
        else:
            settings = load(
                backend,
                file=PROJECT_ROOT / f"properties/{backend}.properties",
                environment=environment_of(gone, backend),
            )
        text = json.dumps(policies(gone)[role_of(page, backend), backend])
        assert f"arn:aws:s3:::{settings['deadletter.bucket']}/{settings['deadletter.prefix']}*" in text
        assert f"arn:aws:kinesis:{settings['regionName']}:123456789012:stream/{settings.stream_name}" in text


def environment_of(gone: Walk, backend: Backend) -> dict[str, str]:
    """What the registered task definition gives to the daemon."""
    (task,) = [task for task in tasks(gone) if task["family"] == f"consumer-{backend}"]
    return {one["name"]: one["value"] for one in task["containerDefinitions"][0]["environment"]}


def tasks(gone: Walk) -> list[Any]:
    registered = gone.of("aws", "ecs", "register-task-definition")
    return [gone.document(call, "cli-input-json") for call in registered]


def test_google_trusts_the_role_that_has_the_policy_and_the_settings_name_the_pool(
    case: Case, gone: Walk
) -> None:
    page, backends = case
    if "bigquery" not in backends:
        assert gone.of("gcloud") == []
        return
    bound = gone.of("gcloud", "iam", "service-accounts", "add-iam-policy-binding")
    ((member,),) = [[str(call.option("member"))] for call in bound]
    assert member.endswith(f":assumed-role/{role_of(page, 'bigquery')}")
    if page == "ec2":
        settings = gone.settings("bigquery")
    else:
        settings = load(
            "bigquery",
            file=PROJECT_ROOT / "properties/bigquery.properties",
            environment=environment_of(gone, "bigquery"),
        )
    provider = settings.text("bigquery.identity_provider")
    assert provider in gone.output.splitlines()
    assert member.startswith(f"principalSet://iam.googleapis.com/{provider.partition('/providers/')[0]}/")
    accounts = [call.arguments[3] for call in gone.of("gcloud", "iam", "service-accounts", "create")]
    address = f"{accounts[0]}@{settings['bigquery.project']}.iam.gserviceaccount.com"
    assert settings["bigquery.service_account"] == address
    for call in gone.of("gcloud"):
        assert settings["bigquery.project"] in (call.option("project"), *call.arguments)


def test_what_some_settings_need_beside_googles_role_is_added_to_it(gone: Walk) -> None:
    made = gone.of("gcloud", "iam", "roles", "create")
    added = gone.of("gcloud", "iam", "roles", "update")
    assert [call.arguments[3] for call in made] == [call.arguments[3] for call in added]
    more = {action for right in RIGHTS if right.granted_by == LATER for action in right.actions}
    for call in added:
        assert set(str(call.option("add-permissions")).split(",")) == more


def test_every_stack_gets_the_parameters_of_its_template_and_alarms_the_topics_that_were_made(
    case: Case, gone: Walk
) -> None:
    page, backends = case
    stacks = gone.of("aws", "cloudformation", "create-stack")
    names = {str(call.option("stack-name")) for call in stacks}
    kinds = ("alarms",) if page == "ec2" else ("alarms", "scaling")
    assert names == {f"consumer-{backend}-{kind}" for backend in backends for kind in kinds}
    made = {str(call.option("name")) for call in gone.of("aws", "sns", "create-topic")}
    for call in stacks:
        template = PROJECT_ROOT / str(call.option("template-body")).removeprefix("file://")
        declared = msgspec.yaml.decode(template.read_bytes())["Parameters"]
        words = call.arguments[call.arguments.index("--parameters") + 1 :]
        given = dict(re.findall(r"ParameterKey=(\w+),ParameterValue=(\S+)", " ".join(words)))
        assert len(given) == len(words)
        assert {name for name, one in declared.items() if "Default" not in one} <= set(given) <= set(declared)
        assert given["Application"] == f"player-log-{given['Backend']}"
        assert f"-{given['Backend']}-" in str(call.option("stack-name"))
        assert {given[name].rpartition(":")[2] for name in given if name.endswith("Topic")} <= made


@only("ec2")
def test_on_ec2_the_check_before_the_first_start_has_the_units_state_directory(
    case: Case, gone: Walk
) -> None:
    _, backends = case
    unit = (PROJECT_ROOT / "deploy/systemd/consumer@.service").read_text()
    state = f"{gone.root}{re.findall(f'{STATE}=(.*)', unit)[0]}"
    order = [call.name for call in gone.calls]
    made = [call for call in gone.of("install") if call.arguments[-1] == state]
    assert [call.option("o") or call.arguments[call.arguments.index("-o") + 1] for call in made] == [
        "consumer"
    ]
    checks = gone.of("check")
    assert [(call.arguments[0], call.user, call.state_dir) for call in checks] == [
        (backend, "consumer", state)
        for _ in ("before the start", "before the upgrade")
        for backend in backends
    ]
    assert gone.calls.index(made[0]) < order.index("check") < order.index("systemctl")


@only("ec2")
def test_on_ec2_each_backend_is_installed_checked_and_started(case: Case, gone: Walk) -> None:
    _, backends = case
    assert (gone.root / "opt/consumer/current").readlink() == Path("v2")
    assert (gone.root / "etc/systemd/system/consumer@.service").exists()
    for backend in backends:
        settings = gone.settings(backend)
        assert settings.warnings == ()
        assert settings.text("kinesis.role_arn").startswith("arn:aws:iam::210987654321:role/")
        units = [call.arguments for call in gone.of("systemctl") if f"consumer@{backend}" in call.arguments]
        assert units == [("enable", "--now", f"consumer@{backend}"), ("restart", f"consumer@{backend}")]


@only("ecs")
def test_on_ecs_what_is_built_is_pushed_and_is_what_the_tasks_run(case: Case, gone: Walk) -> None:
    _, backends = case
    (built,) = gone.of("docker", "buildx", "build")
    image = built.arguments[built.arguments.index("-t") + 1]
    pushed = "--push" in built.arguments or any(image in call.arguments for call in gone.of("docker", "push"))
    assert pushed, "what buildx builds stays in its cache"
    assert gone.calls.index(gone.of("docker", "login")[0]) < gone.calls.index(built)
    assert {task["family"] for task in tasks(gone)} == {f"consumer-{backend}" for backend in backends}
    for task in tasks(gone):
        (container,) = task["containerDefinitions"]
        assert container["image"] == image
        group = container["logConfiguration"]["options"]["awslogs-group"]
        created = [call.option("log-group-name") for call in gone.of("aws", "logs", "create-log-group")]
        assert group in created
        for role in ("taskRoleArn", "executionRoleArn"):
            names = [call.option("role-name") for call in gone.of("aws", "iam", "create-role")]
            assert task[role].rpartition("/")[2] in names


@only("ecs")
def test_on_ecs_each_backend_is_checked_with_its_own_task_before_its_service_is_made(
    case: Case, gone: Walk
) -> None:
    _, backends = case
    runs = gone.of("aws", "ecs", "run-task")
    commands = [
        json.loads(str(call.option("overrides")))["containerOverrides"][0]["command"] for call in runs
    ]
    assert commands == [["check", backend] for backend in backends]
    assert [call.option("task-definition") for call in runs] == [
        f"consumer-{backend}" for backend in backends
    ]
    services = gone.of("aws", "ecs", "create-service")
    made = [gone.document(call, "cli-input-json") for call in services]
    assert [service["taskDefinition"] for service in made] == [f"consumer-{backend}" for backend in backends]
    updated = [call.option("service") for call in gone.of("aws", "ecs", "update-service")]
    assert updated == [service["serviceName"] for service in made]
    for check, service in zip(runs, services, strict=True):
        assert gone.calls.index(check) < gone.calls.index(service)


def test_a_guide_has_no_command_that_is_not_walked() -> None:
    for page in ("ec2", "ecs"):
        found = list(blocks_of(page))
        assert {block.language for block in found} <= {"sh", "properties", "ini", "text"}
        assert any(block.heading == GOOGLE for block in found)
