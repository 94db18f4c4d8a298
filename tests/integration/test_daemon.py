"""Both backends through the real KCL on the embedded stack: one run, many questions to what it left behind."""

import base64
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumer.local import backends
from consumer.local import stack as stacks
from consumer.local.generate import Logs, midnight_today
from consumer.local.put import Target, put
from consumer.local.readback import S3Reader, dead_letters
from consumer.local.stack import Stack
from consumer.local.verify import DeadLetter
from consumer.local.witness import Verdict, Witness
from consumer.settings import PROJECT_ROOT, Settings, load
from consumer.settings.table import Backend

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

VECTORS = PROJECT_ROOT.parent / "shared" / "conformance" / "kpl_vectors.json"
PLAYER = "0123456789abcdef0123456789abcdef"
MEBIBYTE = 1024 * 1024
DEADLINE_SECONDS = 150

NOT_JSON = b"neither JSON \x00 nor text \xff"
EMPTY = b""
RAW_NEWLINES = b'{"player_id":"%s",\n"note":\r\n"raw newlines"}\n' % PLAYER.encode()
LARGEST = b'{"player_id":"%s","pad":"' % PLAYER.encode()
LARGEST += b"x" * (10 * MEBIBYTE - len(LARGEST) - len(PLAYER) - 2) + b'"}'
NO_KEY = b'{"note":"no player_id"}'
NOT_HEX = b'{"player_id":"zebra","note":"not hex"}'
UPPER_CASE = b'{"player_id":"ABCDEF","note":"upper case"}'

AWKWARD = (NOT_JSON, EMPTY, RAW_NEWLINES, LARGEST, NO_KEY, NOT_HEX, UPPER_CASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run put, how it went, and what it left."""

    records: Sequence[bytes]
    verdict: Verdict
    letters: Mapping[Backend, Sequence[DeadLetter]]
    lines: Sequence[bytes]
    exit_codes: Sequence[int]
    stop_seconds: float
    left_running: Sequence[str]
    read_before_stop: int


@dataclass(slots=True)
class Scene:
    """The stack, the settings of both backends, and the records put so far."""

    stack: Stack
    state_dir: Path
    chosen: Mapping[Backend, Mapping[str, str]]
    witness: Witness
    records: list[bytes] = field(default_factory=list)

    def put_raw(self, payload: bytes, *, partition_key: str, holds: Sequence[bytes]) -> None:
        kinesis = self.stack.client("kinesis")
        kinesis.put_record(StreamName=self.stack.stream, PartitionKey=partition_key, Data=payload)
        self.records += holds

    def put_logs(self, count: int, *, seed: int, aggregate: bool = False) -> None:
        logs = list(Logs(count=count, seed=seed, base_time=midnight_today(datetime.now(UTC))).lines())
        put(logs, Target(self.stack.client("kinesis"), self.stack.stream), aggregate=aggregate)
        self.records += logs

    def wait_until(self, reached: Callable[[int], bool], running: Sequence[backends.Running]) -> int:
        """Until the slower backend holds as many records as `reached` wants."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not reached(least := min(self._seen())):
            assert time.monotonic() < deadline, f"{least} of {len(self.records)} records arrived in time"
            for one in running:
                one.check()
            time.sleep(0.5)
        return least

    def _seen(self) -> tuple[int, int]:
        seen = self.witness.look()
        return seen.s3, seen.bigquery


def settings_of(backend: Backend, stack: Stack, chosen: Mapping[str, str]) -> Settings:
    file = PROJECT_ROOT / "properties" / f"{backend}.properties"
    return load(backend, file=file, overrides={**stacks.overrides(stack, backend), **chosen})


def conformance_vectors() -> list[dict[str, Any]]:
    if not VECTORS.exists():
        return []
    loaded: list[dict[str, Any]] = json.loads(VECTORS.read_bytes())["vectors"]
    return loaded


def user_records(vector: Mapping[str, Any]) -> list[bytes]:
    return [
        base64.b64decode(one["data_b64"]) if "data_b64" in one else one["data"].encode()
        for one in vector["expect"]
    ]


def still_running(state_dir: Path) -> list[str]:
    """Command lines of live processes that were started for this state directory, the stack's own left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        of_daemon = any(
            part in command for part in (b"consumer.shard", b"shard-launcher", b"MultiLangDaemon")
        )
        if of_daemon and str(state_dir).encode() in environment + command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    state_dir = tmp_path_factory.mktemp("daemon")
    own = {
        "chunk.grace": "1s",
        "checkpoint.interval": "1s",
        "http.port": "0",
        "worker.state_dir": str(state_dir / "workers"),
    }
    chosen: dict[Backend, dict[str, str]] = {
        "s3": {**own, "chunk.window": "2s"},
        "bigquery": {**own, "chunk.window": "1s"},
    }
    # one shard, so that every user record of the published aggregates belongs to it
    with stacks.running(state_dir, shards=1) as running_stack:
        stack = running_stack.stack
        settings = {backend: settings_of(backend, stack, chosen[backend]) for backend in backends.BACKENDS}
        scene = Scene(stack, state_dir, chosen, Witness(stack, settings))
        yield play(scene, settings)


def play(scene: Scene, settings: Mapping[Backend, Settings]) -> Run:
    """Start, feed, end with SIGTERM while records flow, feed on, start again, and read everything."""
    start = datetime.now(UTC)
    for payload in AWKWARD:
        scene.put_raw(payload, partition_key=PLAYER, holds=[payload])
    for vector in conformance_vectors():
        data = base64.b64decode(vector["data"])
        scene.put_raw(data, partition_key=vector["outer_pk"], holds=user_records(vector))
    scene.put_logs(1500, seed=1)
    with backends.started(scene.state_dir, scene.chosen) as running:
        scene.put_logs(1500, seed=2, aggregate=True)
        seen = scene.wait_until(lambda least: least > 0, running)
        scene.put_logs(1500, seed=3)
        stopping = time.monotonic()
        for one in running:
            one.popen.send_signal(signal.SIGTERM)
        scene.put_logs(500, seed=4)
        exit_codes = [one.popen.wait(backends.STOP_SECONDS) for one in running]
        stop_seconds = time.monotonic() - stopping
        left_running = still_running(scene.state_dir)
    with backends.started(scene.state_dir, scene.chosen) as running:
        scene.put_logs(500, seed=5, aggregate=True)
        scene.wait_until(lambda least: least >= len(scene.records), running)
        backends.stop(running)
    letters = {backend: letters_of(scene.stack, settings[backend]) for backend in backends.BACKENDS}
    return Run(
        records=scene.records,
        verdict=scene.witness.verdict(
            scene.records, start=start - timedelta(seconds=1), end=datetime.now(UTC) + timedelta(seconds=1)
        ),
        letters=letters,
        lines=list(S3Reader(scene.stack, str(settings["s3"]["s3.prefix"])).lines()),
        exit_codes=exit_codes,
        stop_seconds=stop_seconds,
        left_running=left_running,
        read_before_stop=seen,
    )


def letters_of(stack: Stack, settings: Settings) -> list[DeadLetter]:
    reader = S3Reader(stack, f"{settings['deadletter.prefix']}{settings['applicationName']}/")
    return list(dead_letters(reader.lines()))


def reasons(run: Run, backend: Backend, payload: bytes) -> list[str]:
    return [letter.reason for letter in run.letters[backend] if letter.payload == payload]


def test_I1_every_record_is_once_in_s3_or_in_the_dead_letters(run: Run) -> None:
    assert run.verdict.s3.clean, run.verdict.s3
    assert run.verdict.s3.delivered + run.verdict.s3.dead_letters == len(run.records)


def test_I1_every_record_is_once_in_its_table_and_day_or_in_the_dead_letters(run: Run) -> None:
    assert run.verdict.bigquery.clean, run.verdict.bigquery
    assert run.verdict.bigquery.delivered + run.verdict.bigquery.dead_letters == len(run.records)
    assert run.verdict.tables == 16


def test_sigterm_while_records_flow_ends_both_backends_in_order(run: Run) -> None:
    assert 0 < run.read_before_stop < len(run.records), "nothing was flowing: the test shows nothing"
    assert run.exit_codes == [0, 0]
    grace_seconds = int(stacks.FAST_LEASES["shutdownGraceMillis"]) / 1000
    assert run.stop_seconds < grace_seconds + backends.STOP_SECONDS


def test_I10_nothing_is_left_running_after_sigterm(run: Run) -> None:
    assert run.left_running == []


@pytest.mark.parametrize("backend", backends.BACKENDS)
@pytest.mark.parametrize("payload", [NOT_JSON, EMPTY])
def test_I5_what_is_not_json_is_a_dead_letter_byte_for_byte(
    run: Run, backend: Backend, payload: bytes
) -> None:
    assert reasons(run, backend, payload) == ["not_json"]


@pytest.mark.parametrize("payload", [RAW_NEWLINES, LARGEST, NO_KEY, NOT_HEX, UPPER_CASE])
def test_s3_takes_any_json_as_one_line(run: Run, payload: bytes) -> None:
    wanted = json.loads(payload)
    assert sum(1 for line in run.lines if json.loads(line) == wanted) == 1
    assert reasons(run, "s3", payload) == []


@pytest.mark.parametrize(
    ("payload", "reason"), [(LARGEST, "too_large"), (NO_KEY, "no_key"), (NOT_HEX, "bad_key")]
)
def test_I5_what_no_table_takes_is_a_dead_letter_with_its_reason(
    run: Run, payload: bytes, reason: str
) -> None:
    assert reasons(run, "bigquery", payload) == [reason]


@pytest.mark.parametrize("payload", [RAW_NEWLINES, UPPER_CASE])
def test_bigquery_takes_raw_newlines_and_upper_case_keys(run: Run, payload: bytes) -> None:
    assert reasons(run, "bigquery", payload) == []


@pytest.mark.parametrize("backend", backends.BACKENDS)
@pytest.mark.skipif(not VECTORS.exists(), reason="the conformance vectors are not beside the project")
def test_published_kpl_aggregates_come_out_as_their_user_records(run: Run, backend: Backend) -> None:
    wanted = Counter(record for vector in conformance_vectors() for record in user_records(vector))
    assert len(wanted) > 15
    found = Counter(letter.payload for letter in run.letters[backend])
    assert {record: found[record] for record in wanted} == dict(wanted)
