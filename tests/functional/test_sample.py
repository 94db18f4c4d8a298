"""What `bin/check --sample` says of records is what a shard process does with them."""

import json
from collections import Counter
from pathlib import Path

import pytest

from consumer.daemon.commands.check import check_main
from consumer.settings import Settings
from tests.functional.conftest import StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.kcl import record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import bigquery_settings, s3_settings

PAYLOADS = [
    b'{"player_id":"0123456789abcdef","n":1}',
    b"127.0.0.1 - - GET /",
    b"[1,2]",
    b'{"player_id":"ff","x":"\xff"}',
    b'{"n":1}',
    b'{"player_id":"","n":1}',
    b'{"player_id":"zebra"}',
    b'{"player_id":7}',
    b'{"player_id":"a","player_id":"b"}',
    b'{"player_id":"a","time":"1970-01-01T00:00:00Z"}',
    b'{"player_id":"a","n":1e999}',
    b'{"player_id":"a","text":"\\ud800"}',
    b"[" * 501 + b"]" * 501,
    b'{"player_id":"a","time":"no time"}',
    b'{"player_id":"FF"}',
]
OPEN = {"deadletter.max_ratio": "1"}


@pytest.fixture(params=["s3", "bigquery"])
def settings(request: pytest.FixtureRequest, s3: S3Stub, bigquery: BigQueryStub) -> Settings:
    return s3_settings(s3, OPEN) if request.param == "s3" else bigquery_settings(bigquery, s3, OPEN)


def test_a_sample_is_judged_as_a_shard_process_judges_it(
    settings: Settings,
    s3: S3Stub,
    start_shard: StartShard,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kcl = start_shard(settings)
    kcl.initialize()
    kcl.process([record(number, data) for number, data in enumerate(PAYLOADS, 1)])
    kcl.end_shard()
    reasons = [letter["reason"] for letter in s3.dead_letters]
    sample = tmp_path / "sample"
    sample.write_bytes(b"\n".join(PAYLOADS))
    chosen = [f"--set={key}={value}" for key, value in settings.texts.items() if key != "kinesisEndpoint"]
    assert check_main([settings.backend, "--sample", str(sample), "--json", *chosen]) == 0
    told = json.loads(capsys.readouterr().out)["sample"]
    assert {reason: one["records"] for reason, one in told["dead_letters"].items()} == Counter(reasons)
    assert told["delivered"] == len(PAYLOADS) - len(reasons)
    first = {reason: reasons.index(reason) for reason in reasons}
    numbers = [int(letter["sequence_number"]) for letter in s3.dead_letters]
    assert {reason: one["first"]["line"] for reason, one in told["dead_letters"].items()} == {
        reason: numbers[place] for reason, place in first.items()
    }
