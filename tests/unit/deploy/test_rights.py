"""The table of rights, against the policies of deploy/, the pages, the code that asks, and the KCL's jars."""

import ast
import importlib.util
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import botocore.loaders
import botocore.session
import pytest
from botocore import xform_name

from consumer.daemon.prepare.rights import LATER, RIGHTS, ROLE, Right, advice, put_actions, refused_actions
from consumer.settings import BACKENDS, PROJECT_ROOT, Backend, Settings, load
from consumer.settings.kcl_table import KCL_VERSION
from tests.unit.deploy.permissions import table
from tests.unit.deploy.test_deploy import DEPLOY, S3_PERMISSIONS, listed, statements

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/logs"
BUCKET = "arn:aws:s3:::bucket"
GLUE = "arn:aws:glue:eu-west-1:123456789012:"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:secret-??????"
"""Secrets Manager adds six characters to a name."""
KEYS = "arn:aws:kms:eu-west-1:123456789012:key/"


def resources(on: str, application: str, backend: Backend) -> set[str]:
    """What a row of the table means in a policy."""
    prefixes = ["deadletter/", "player-log/"] if backend == "s3" else ["deadletter/"]
    others = {f"{TABLE}{application}-{name}" for name in ("WorkerMetricStats", "CoordinatorState")}
    return {
        "the stream": {STREAM},
        "the stream and its consumers": {STREAM, f"{STREAM}/consumer/*"},
        "the stream's consumers": {f"{STREAM}/consumer/*"},
        "the role that reads the stream": {"arn:aws:iam::222222222222:role/stream-reader"},
        "the key of the stream": {f"{KEYS}streams-key"},
        "the key of the objects": {f"{KEYS}key"},
        "the KCL's three tables": {f"{TABLE}{application}", *others},
        "the KCL's tables of load and coordinator": others,
        "the lease table": {f"{TABLE}{application}"},
        "the lease table's index LeaseOwnerToLeaseKeyIndex": {
            f"{TABLE}{application}/index/LeaseOwnerToLeaseKeyIndex"
        },
        "metrics of the namespace applicationName": {"*"},
        "metrics by OTLP, which have no namespace": {"*"},
        "objects below s3.prefix": {f"{BUCKET}/player-log/*"},
        "objects below deadletter.prefix": {f"{BUCKET}/deadletter/*"},
        "the buckets": {BUCKET},
        "objects of bin/check below _check/": {f"{BUCKET}/{prefix}_check/*" for prefix in prefixes},
        "the secret with the key of pseudonyms": {SECRET},
        "the Glue Data Catalog, the database and its table": {
            f"{GLUE}{one}" for one in ("catalog", "database/lake", "table/lake/logs")
        },
        "bigquery.positions_table": {f"{TABLE}{application}-BigQueryStreams"},
    }[on]


OPERATOR = "operator"
"""The policy of whoever runs the commands in consumer/operate."""


def granted(name: str) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for statement in statements(name)
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def wanted(rights: list[Right], application: str, backend: Backend) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for right in rights
        for action in right.actions
        for resource in resources(right.on, application, backend)
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backends_policy_grants_what_the_table_says_and_nothing_else(backend: Backend) -> None:
    rights = [one for one in RIGHTS if one.granted_by == "iam/BACKEND.json" and backend in one.backends]
    assert granted(backend) == wanted(rights, f"player-log-{backend}", backend)


ADDED = sorted({one.granted_by for one in RIGHTS if re.fullmatch(r"iam/[a-z-]+\.json", one.granted_by)})


@pytest.mark.parametrize("place", ADDED)
def test_what_a_setting_asks_for_has_a_policy_that_grants_it_and_nothing_else(place: str) -> None:
    rights = [right for right in RIGHTS if right.granted_by == place]
    assert granted(Path(place).stem) == wanted(rights, "application", "s3")


def test_every_policy_of_deploy_is_in_the_table() -> None:
    named = {f"iam/{backend}.json" for backend in BACKENDS} | set(ADDED)
    policies = {f"iam/{path.name}" for path in (DEPLOY / "iam").glob("*.json")}
    others = {"iam/stream-account.json", f"iam/{OPERATOR}.json"}
    assert {one for one in policies if "trust-" not in one} == named | others


def test_the_role_of_the_streams_account_may_read_it_and_nothing_else() -> None:
    rights = [right for right in RIGHTS if right.on == "the stream"]
    theirs = {
        (action, arn.replace("222222222222", "123456789012")) for action, arn in granted("stream-account")
    }
    assert theirs == wanted(rights, "", "s3")


def test_googles_role_and_the_command_that_adds_to_it_grant_what_the_table_says() -> None:
    role = json.loads((DEPLOY / ROLE).read_bytes())
    of = {
        place: {action for right in RIGHTS if right.granted_by == place for action in right.actions}
        for place in (ROLE, LATER)
    }
    assert set(role["includedPermissions"]) == of[ROLE]
    guide = (PROJECT_ROOT / "docs/ec2.md").read_text()
    (command,) = re.findall(r"gcloud iam roles update[^`]*?--add-permissions=(\S+)", guide)
    assert set(command.split(",")) == of[LATER]


def test_the_page_holds_the_table_and_the_guide_names_every_policy() -> None:
    page = (PROJECT_ROOT / "docs/permissions.md").read_text()
    assert table() in page, "python -m tests.unit.deploy.permissions prints the table"
    guide = (PROJECT_ROOT / "docs/ec2.md").read_text()
    for place in ADDED:
        assert f"deploy/{place}" in guide


def settings(backend: Backend, **changes: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in changes.items()}
    return load(backend, file=PROJECT_ROOT / f"properties/{backend}.properties", overrides=named)


MATRIX: list[tuple[Backend, dict[str, str], set[str]]] = [
    ("s3", {"s3__tags": "a=b"}, {"s3:PutObjectTagging"}),
    ("s3", {"s3__sse": "aws:kms"}, {"kms:GenerateDataKey", "kms:Decrypt"}),
    ("s3", {"s3__sse": "aws:kms", "s3__kms_key_id": "k"}, {"kms:GenerateDataKey", "kms:Decrypt"}),
    ("s3", {"s3__sse": "AES256"}, set()),
    ("s3", {"s3__storage_class": "STANDARD_IA"}, set()),
    ("s3", {"deadletter__bucket": "another"}, set()),
    (
        "s3",
        {"retrievalMode": "FANOUT"},
        {
            "kinesis:DescribeStreamConsumer",
            "kinesis:RegisterStreamConsumer",
            "kinesis:SubscribeToShard",
        },
    ),
    ("s3", {"metricsLevel": "SUMMARY"}, {"cloudwatch:PutMetricData"}),
    ("s3", {"metrics__otlp_endpoint": "cloudwatch"}, {"cloudwatch:PutMetricData"}),
    ("s3", {"metrics__otlp_endpoint": "http://127.0.0.1:4318"}, set()),
    ("s3", {"kinesis__role_arn": "arn:aws:iam::222222222222:role/r"}, {"sts:AssumeRole"}),
    ("s3", {"leaseTablePitrEnabled": "true"}, {"dynamodb:UpdateContinuousBackups"}),
    ("s3", {"leaseTablePitrEnabled": "false"}, set()),
    ("s3", {"workerMetricsTags": "a=b"}, {"dynamodb:TagResource"}),
    ("bigquery", {"bigquery__add_columns": "true"}, {"bigquery.tables.update"}),
    (
        "bigquery",
        {"bigquery__view": "all_logs"},
        {"bigquery.tables.update", "bigquery.tables.getData"},
    ),
    ("bigquery", {"bigquery__method": "load"}, {"bigquery.jobs.create", "bigquery.tables.update"}),
    (
        "bigquery",
        {
            "bigquery__credentials": "aws",
            "bigquery__identity_provider": "projects/1/locations/global/workloadIdentityPools/p/providers/a",
            "bigquery__service_account": "a@my-project.iam.gserviceaccount.com",
        },
        {"iam.serviceAccounts.getAccessToken"},
    ),
]


def actions_of(settings: Settings) -> set[str]:
    return {action for right in RIGHTS if right.is_wanted(settings) for action in right.actions}


@pytest.mark.parametrize(("backend", "changes", "more"), MATRIX)
def test_a_setting_asks_for_these_rights(backend: Backend, changes: dict[str, str], more: set[str]) -> None:
    plain = {"bigquery__method": "insert_all"} if backend == "bigquery" else {}
    base = actions_of(settings(backend, **plain))
    assert actions_of(settings(backend, **(plain | changes))) - base == more


def test_row_counts_ask_for_their_table() -> None:
    counted = [
        right
        for right in RIGHTS
        if right.on == "bigquery.positions_table"
        and right.is_wanted(settings("bigquery", bigquery__method="storage_write"))
    ]
    assert len(counted) == 1
    assert not counted[0].is_wanted(settings("bigquery", bigquery__method="insert_all"))


def test_advice_names_the_setting_that_asks() -> None:
    tagged = settings("s3", s3__tags="a=b", s3__sse="aws:kms")
    assert advice(tagged, *put_actions(tagged, "s3.bucket")) == (
        "give the role s3:PutObject and s3:PutObjectTagging (for s3.tags) and kms:GenerateDataKey (for s3.sse)"
        " (docs/permissions.md)"
    )
    plain = settings("s3")
    assert (
        advice(plain, *put_actions(plain, "s3.bucket")) == "give the role s3:PutObject (docs/permissions.md)"
    )
    assert "for a bucket whose default encryption is a KMS key" in advice(plain, "kms:GenerateDataKey")


@pytest.mark.parametrize(
    ("said", "action"),
    [
        (
            "User: arn:aws:sts::1:assumed-role/r/i is not authorized to perform: kms:GenerateDataKey on resource: arn",
            "kms:GenerateDataKey",
        ),
        ("Access Denied: Table p:d.t: Permission bigquery.tables.get denied on table", "bigquery.tables.get"),
        ("User does not have bigquery.jobs.create permission in project p.", "bigquery.jobs.create"),
        ("User does not have permission to query table p:d.t", "otherwise"),
        ("Access Denied", "otherwise"),
    ],
)
def test_the_action_is_the_one_that_the_service_names(said: str, action: str) -> None:
    assert refused_actions(ValueError(said), "otherwise") == (action,)


# What the code asks, by the names of its calls.

SERVICES = ("kinesis", "dynamodb", "s3", "secretsmanager", "sts")
CATALOGUE = PROJECT_ROOT / "consumer/operate/catalogue"
"""Asks Glue, whose operations have names that others have too, and nobody else."""
FREE = {"sts:GetCallerIdentity"}
"""No policy is asked about it."""
GOOGLE = {
    "get_dataset": {"bigquery.datasets.get"},
    "create_dataset": {"bigquery.datasets.create"},
    "get_table": {"bigquery.tables.get"},
    "create_table": {"bigquery.tables.create"},
    "update_table": {"bigquery.tables.update"},
    "insert_rows_json": {"bigquery.tables.updateData"},
}
"""Methods of google.cloud.bigquery.Client, with what the REST methods behind them take:
https://cloud.google.com/bigquery/docs/access-control#bq-permissions"""
WRITING = {"CreateWriteStream", "AppendRows", "FinalizeWriteStream"}
"""Methods of the Storage Write API, each of which takes bigquery.tables.updateData:
https://cloud.google.com/bigquery/docs/write-api#required_permissions"""
WRITE_API = WRITING | {"GetWriteStream", "FlushRows", "BatchCommitWriteStreams"}
REST = {
    "insertAll": "bigquery.tables.updateData",
    "jobs": "bigquery.jobs.create",
    "queries": "bigquery.jobs.create",  # for bin/deadletters, bin/reconcile and bin/replay, to find rows by name
}
"""What is asked for by REST, by the last word of its path."""
COLLECTIONS = {"insertAll", "jobs", "queries", "datasets", "models", "routines", "rowAccessPolicies", "data"}


def names_in(folder: Path) -> Iterator[str]:
    """Attributes and texts of all modules: operations are called by both."""
    for path in sorted(folder.rglob("*.py")):
        if folder != CATALOGUE and path.is_relative_to(CATALOGUE):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def used_names(*, operator: bool) -> set[str]:
    """By the daemon, or by the commands of an operator, whose rights are other ones."""
    shipped = [
        path
        for path in (PROJECT_ROOT / "consumer").iterdir()
        if path.is_dir() and path.name != "local" and (path.name == "operate") is operator
    ]
    return {name for folder in shipped for name in names_in(folder)}


def action_of(service: str, operation: str) -> str:
    permissions = {operation: permission for permission, operation in S3_PERMISSIONS.items()}
    return f"{service}:{permissions.get(operation, operation)}"


def asked_of_aws(*, operator: bool = False) -> set[str]:
    session, names = botocore.session.get_session(), used_names(operator=operator)
    return {
        action_of(service, operation)
        for service in SERVICES
        for operation in session.get_service_model(service).operation_names
        if xform_name(operation) in names
    }


def asked_of_glue() -> set[str]:
    names = set(names_in(CATALOGUE))
    operations = botocore.session.get_session().get_service_model("glue").operation_names
    return {f"glue:{operation}" for operation in operations if xform_name(operation) in names}


def kcl_classes() -> dict[str, bytes]:
    specification = importlib.util.find_spec("amazon_kclpy")
    places = specification.submodule_search_locations if specification else None
    path = Path(places[0]) / "jars" / f"amazon-kinesis-client-{KCL_VERSION}.jar" if places else None
    if path is None or not path.exists():
        pytest.skip("the KCL's jars are not installed")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.endswith(".class")}


ADAPTER = "DynamoDbAsyncToSyncClientAdapter"
"""Passes on whatever its caller asks, which is the lock client: it gets, puts, updates and deletes items
(https://github.com/awslabs/amazon-dynamodb-lock-client)."""
ENHANCED = {"dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Scan"}
"""By the enhanced client, in WorkerMetricStatsDAO."""


def asked_by_the_kcl() -> set[str]:
    found: set[str] = set(ENHANCED)
    for name, content in kcl_classes().items():
        if ADAPTER not in name:
            for service, request in re.findall(rb"services/(\w+)/model/([A-Za-z]+)Request\b", content):
                found.add(f"{service.decode()}:{request.decode()}")
    return found


def rows() -> set[str]:
    return {action for right in RIGHTS for action in right.actions}


def test_what_the_kcl_asks_is_in_the_table() -> None:
    asked = asked_by_the_kcl()
    assert {
        "kinesis:SubscribeToShard",
        "dynamodb:UpdateContinuousBackups",
        "cloudwatch:PutMetricData",
    } <= asked
    assert asked - rows() == set()


def test_what_the_code_asks_of_aws_is_in_the_table() -> None:
    asked = asked_of_aws()
    assert {"s3:PutObject", "s3:ListBucket", "dynamodb:Query", "sts:AssumeRole"} <= asked
    assert "secretsmanager:GetSecretValue" in asked
    assert asked - rows() == FREE


def test_what_the_catalogue_asks_of_glue_is_in_its_policy() -> None:
    assert "glue:UpdateTable" in asked_of_glue()
    assert asked_of_glue() == {action for action, _ in granted("catalogue")}


def test_what_an_operators_commands_ask_of_aws_is_in_his_policy() -> None:
    asked = asked_of_aws(operator=True)
    assert {"s3:PutObject", "s3:DeleteObject", "s3:HeadObject"} <= asked
    may = {action for action, _ in granted(OPERATOR)}
    assert {"s3:GetObject" if one == "s3:HeadObject" else one for one in asked} - may == set()
    flag = {
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:DeleteItem",
    }  # PauseFlag, read and written by both
    assert flag <= may


def methods_of_the_client() -> set[str]:
    """Of google.cloud.bigquery's, as preparation calls them."""
    found = set()
    for path in sorted((PROJECT_ROOT / "consumer/daemon/prepare").glob("bigquery_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("client"):
                found.add(node.attr)
    return found


def test_what_the_code_asks_of_google_is_in_the_table() -> None:
    assert methods_of_the_client() == set(GOOGLE)
    assert set().union(*GOOGLE.values(), REST.values()) <= rows()
    names = set(names_in(PROJECT_ROOT / "consumer/sinks/bigquery"))
    assert names & WRITE_API == WRITING
    paths = {name.rpartition("/")[2] for name in names if re.fullmatch(r"/\w+", name)}
    assert paths & COLLECTIONS == set(REST)


def test_no_right_is_in_the_table_that_nobody_uses() -> None:
    """But for those that are no operation of a service's: what an operation takes beside its own."""
    beside = {
        "s3:PutObjectTagging",
        "dynamodb:TagResource",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "bigquery.tables.getData",
        "bigquery.jobs.create",
        "iam.serviceAccounts.getAccessToken",
    }
    used = asked_of_aws() | asked_of_glue() | asked_by_the_kcl() | set().union(*GOOGLE.values()) | beside
    assert rows() - used == set()


def test_every_action_is_one_of_its_service() -> None:
    loader = botocore.loaders.Loader()
    for action in rows():
        service, colon, permission = action.partition(":")
        if colon:
            operations = loader.load_service_model(service, "service-2")["operations"]
            assert S3_PERMISSIONS.get(permission, permission) in operations, action
