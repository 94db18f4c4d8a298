"""`check` on the embedded stack: what it says of a world that is well, and of one that is not."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.daemon.commands.questions import ask_all, checks_of
from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.question import Answer
from consumer.local import stack as stacks
from consumer.local.stack import Stack
from consumer.settings import PROJECT_ROOT, Backend, Settings, load

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("check")


@pytest.fixture(scope="module")
def stack(state_dir: Path) -> Iterator[Stack]:
    with stacks.running(state_dir, shards=3) as running:
        yield running.stack


@pytest.fixture(autouse=True)
def credentials(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stacks.environment(stack).items():
        monkeypatch.setenv(name, value)


def settings_of(stack: Stack, backend: Backend, **chosen: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in chosen.items()}
    return load(backend, overrides={**stacks.overrides(stack, backend), **named})


def ask(settings: Settings) -> list[Answer]:
    return ask_all(checks_of(settings, now=time.time))


def faults(answers: list[Answer]) -> dict[str, str]:
    return {answer.name: answer.message for answer in answers if not answer.ok}


def test_a_fresh_world_is_well_and_stays_as_it_was(stack: Stack) -> None:
    for backend in ("s3", "bigquery"):
        answers = ask(settings_of(stack, backend))
        assert faults(answers) == {}
        assert any('"player-logs" has 3 open shards, and can be read' in one.message for one in answers)
    assert stack.client("s3").list_objects_v2(Bucket=stack.bucket)["KeyCount"] == 0
    assert stack.client("dynamodb").list_tables()["TableNames"] == []
    tables = BigQueryTables(settings_of(stack, "bigquery"))
    assert not any(tables.finds_table(name) for name in tables.names())


def test_stream_and_buckets_that_do_not_exist_are_named_with_their_settings(stack: Stack) -> None:
    found = faults(
        ask(settings_of(stack, "s3", streamName="none", s3__bucket="no-such", deadletter__bucket="nor"))
    )
    assert found.keys() == {"stream", "bucket", "dead letters"}
    assert 'streamName: stream "none" does not exist' in found["stream"]
    assert 's3.bucket: bucket "no-such" does not exist' in found["bucket"]
    assert 'deadletter.bucket: bucket "nor" does not exist' in found["dead letters"]


def test_nothing_that_answers_is_a_line_for_each_question(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", nowhere)
    chosen = {"kinesisEndpoint": nowhere, "dynamoDBEndpoint": nowhere}
    answers = ask(settings_of(stack, "s3", **chosen))
    assert [answer.ok for answer in answers] == [True] + [False] * 7 + [True] * 4


def test_lease_tables_that_are_there_are_used_without_a_trace(stack: Stack) -> None:
    dynamodb = stack.client("dynamodb")
    dynamodb.create_table(
        TableName="checked",
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    answers = ask(settings_of(stack, "s3", applicationName="checked"))
    dynamodb_count = dynamodb.scan(TableName="checked")["Count"]
    dynamodb.delete_table(TableName="checked")
    assert "checked can be read and written" in [answer.message for answer in answers]
    assert dynamodb_count == 0


def test_tables_of_another_shape_are_one_line(stack: Stack) -> None:
    made = settings_of(stack, "bigquery", bigquery__table_prefix="other")
    tables = BigQueryTables(made)
    for name in tables.names():
        tables.ensure_table(name)
    assert [one.message for one in ask(made) if one.name == "tables"] == ["16 take rows"]
    found = faults(
        ask(settings_of(stack, "bigquery", bigquery__table_prefix="other", record__key_field="other"))
    )
    assert found.keys() == {"tables"}
    assert found["tables"].startswith("bigquery.row = log: column other (NULLABLE STRING) is missing (table ")
    assert found["tables"].endswith(" and 14 more)")


def test_the_command_prints_one_object_and_ends_with_its_verdict(
    stack: Stack, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUMER_LOCAL_DIR", str(state_dir))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    command = [sys.executable, "-P", "-m", "consumer", "check", "s3", "--local", "--json"]
    for chosen, code in (("streamName=player-logs", 0), ("streamName=none", 1)):
        done = subprocess.run([*command, "--set", chosen], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (code, "")
        assert json.loads(done.stdout)["ok"] is (code == 0)
