"""`tap` at daemons that are played: their locks, their settings, and what their shard processes send."""

import errno
import fcntl
import json
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consumer.domain.names import TAPS_FOLDER
from consumer.domain.taps import MOST_TAPS, Samples, decode_request, encode_samples
from consumer.domain.taps import Sample as TapSample
from consumer.operate.tap import command as tap_command
from consumer.operate.tap.command import tap_main
from consumer.operate.tap.listening import LEASE_SECONDS, Tap
from consumer.settings import load

SHARD = "shardId-000000000003"
PLACES = {
    "s3": {"streamName": "stream", "regionName": "us-east-1", "s3.bucket": "bucket"},
    "bigquery": {
        "streamName": "stream",
        "regionName": "us-east-1",
        "bigquery.project": "project",
        "bigquery.dataset": "dataset",
        "deadletter.bucket": "bucket",
    },
}
HOSTILE = "\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202e\u2028\x00"


def sample(payload: bytes = b'{"player_id": "a1"}', **fields: Any) -> TapSample:
    usual: dict[str, Any] = {
        "sequence_number": "17",
        "sub_sequence_number": 0,
        "partition_key": "key",
        "arrival_ms": 1_700_000_000_000,
        "size": len(payload),
        "payload": payload,
        "outcome": "delivered",
        "place": "player_log_a",
    }
    return TapSample(**{**usual, **fields})


class Daemon:
    """One that runs: it holds its lock, and sends to every tap whose request it finds."""

    def __init__(self, state_dir: Path, name: str, *, application: str = "app", backend: str = "s3") -> None:
        self.path = state_dir / name
        self.path.mkdir(parents=True)
        settings = load(
            backend,  # type: ignore[arg-type]
            overrides={"applicationName": application, "chunk.window": "60s", **PLACES[backend]},
        )
        (self.path / "settings.json").write_bytes(settings.dump())
        self._lock = (self.path / "lock").open("w")
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def send(self, *samples: TapSample, passed: int = 100) -> None:
        datagram = encode_samples(Samples(shard=SHARD, passed=passed, samples=[*samples]))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            for request in self.requests():
                sender.sendto(datagram, str(request.with_suffix(".socket")))

    def requests(self) -> list[Path]:
        return sorted((self.path / TAPS_FOLDER).glob("*.json"))

    def left(self) -> list[str]:
        """What lies there of taps."""
        return sorted(path.name for path in (self.path / TAPS_FOLDER).iterdir())

    def end(self) -> None:
        self._lock.close()


@dataclass
class World:
    state_dir: Path
    capsys: pytest.CaptureFixture[str]
    seconds: float = 1000.0
    daemons: list[Daemon] = field(default_factory=list)

    def daemon(self, name: str = "app", **options: str) -> Daemon:
        self.daemons.append(Daemon(self.state_dir, name, **options))
        return self.daemons[-1]

    def run(self, *arguments: str, script: Sequence[Callable[[], object]] = ()) -> tuple[int, str, str]:
        """Exit code, stdout and stderr. Each wait of the tap is a second, and a step of the script; it is interrupted
        when there is none left."""
        steps = iter(script)

        def wait(taps: Sequence[Tap], seconds: float) -> Sequence[Tap]:
            self.seconds += min(1.0, seconds)
            step = next(steps, None)
            if step is None:
                raise KeyboardInterrupt
            step()
            return taps

        code = tap_main(
            [*arguments, f"--set=worker.state_dir={self.state_dir}"],
            now=lambda: self.seconds,
            monotonic=lambda: self.seconds,
            wait=wait,
        )
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    world = World(tmp_path, capsys)
    yield world
    for daemon in world.daemons:
        daemon.end()


def pause() -> None:
    return None


def test_a_record_is_shown_with_where_it_went(world: World) -> None:
    daemon = world.daemon()
    delivered = sample(place="s3://bucket/dt=2023-11-14/a.ndjson.gz")
    dead = sample(b"oops", outcome="dead_letter", place="s3://dead", reason="not_json", detail="no value")
    again = sample(outcome="delivered_before", place="", sub_sequence_number=2)
    code, out, err = world.run("s3", script=[lambda: daemon.send(delivered, sample(), dead, again)])
    assert code == 0
    assert out.splitlines() == [
        f"{SHARD} 17  key key, 19 bytes, arrived 2023-11-14T22:13:20.000Z",
        "  to s3://bucket/dt=2023-11-14/a.ndjson.gz",
        '  {"player_id":"a1"}',
        f"{SHARD} 17  key key, 19 bytes, arrived 2023-11-14T22:13:20.000Z",
        "  to table player_log_a",
        '  {"player_id":"a1"}',
        f"{SHARD} 17  key key, 4 bytes, arrived 2023-11-14T22:13:20.000Z",
        "  dead letter, not_json: no value; in s3://dead",
        "  oops",
        f"{SHARD} 17.2  key key, 19 bytes, arrived 2023-11-14T22:13:20.000Z",
        "  read again, delivered before",
        '  {"player_id":"a1"}',
    ]
    assert err == "4 shown of 100 records that passed\n"


def test_json_has_all_that_was_sent(world: World) -> None:
    daemon = world.daemon()
    code, out, _ = world.run("s3", "--json", script=[lambda: daemon.send(sample(b"\xff{\x1b", size=5000))])
    assert code == 0
    assert json.loads(out) == {
        "application": "app",
        "shard": SHARD,
        "sequence_number": "17",
        "sub_sequence_number": 0,
        "partition_key": "key",
        "arrived_at": "2023-11-14T22:13:20.000Z",
        "outcome": "delivered",
        "place": "player_log_a",
        "reason": "",
        "detail": "",
        "bytes": 5000,
        "payload_bytes": 3,
        "payload": "\\xff{\x1b",
    }
    assert "\x1b" not in out


@pytest.mark.parametrize("options", [[], ["--mask"], ["--json"], ["--json", "--mask"]], ids=str)
@pytest.mark.parametrize("payload", [json.dumps({HOSTILE: [HOSTILE]}), HOSTILE], ids=["JSON", "none"])
def test_nothing_in_a_record_reaches_the_terminal_as_a_command(
    world: World, payload: str, options: list[str]
) -> None:
    daemon = world.daemon()
    for escaped in (payload, json.dumps({"a": HOSTILE}, ensure_ascii=False)):
        hostile = sample(
            escaped.encode(),
            partition_key=HOSTILE,
            sequence_number=HOSTILE,
            place=f"s3://{HOSTILE}",
            outcome="dead_letter",
            reason="not_json",
            detail=HOSTILE,
        )
        _, out, _ = world.run("s3", *options, script=[lambda: daemon.send(hostile)])  # noqa: B023
        assert all(line.isprintable() for line in out.splitlines())
        assert len(out.splitlines()) == (1 if "--json" in options else 3)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
@pytest.mark.parametrize(
    "payload", [b'{"name": "secret", "n": 42}', b"secret 42", b'{"name": "secret 42 and']
)
def test_a_mask_hides_what_is_in_records(world: World, options: list[str], payload: bytes) -> None:
    daemon = world.daemon()
    dead = sample(
        payload, partition_key="secret", outcome="dead_letter", reason="bad_key", detail='"secret": 42'
    )
    _, out, _ = world.run("s3", "--mask", *options, script=[lambda: daemon.send(dead)])
    assert "bad_key" in out
    assert "secret" not in out
    assert "42" not in out


def test_a_payload_that_was_cut_says_so(world: World) -> None:
    daemon = world.daemon()
    _, out, _ = world.run("s3", script=[lambda: daemon.send(sample(b'{"a":"bc', size=70_000))])
    assert out.splitlines()[2] == '  {"a":"bc (of 70,000 bytes the first 8)'


def test_it_asks_for_what_it_was_told_and_renews_that_while_it_listens(world: World) -> None:
    daemon = world.daemon()
    asked: list[Any] = []

    def look() -> None:
        [request] = daemon.requests()
        asked.append(decode_request(request.read_bytes()))
        assert asked[-1].until_ms > world.seconds * 1000

    world.run("s3", "--rate=2.5", f"--shard={SHARD}", "--shard=other", script=[look] * 30)
    assert {(one.rate, *one.shards) for one in asked} == {(2.5, SHARD, "other")}
    assert all(one.until_ms <= (1000 + 30 + LEASE_SECONDS) * 1000 for one in asked)


def test_it_leaves_nothing_behind_and_nobody_else_can_listen(world: World) -> None:
    daemon = world.daemon()

    def look() -> None:
        folder = daemon.path / TAPS_FOLDER
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert modes == {".json": 0o600, ".socket": 0o600}

    world.run("s3", script=[look])
    assert daemon.left() == []


def test_no_more_is_shown_than_the_rate_however_many_shards_send(world: World) -> None:
    daemon = world.daemon()
    flood = [lambda: daemon.send(*[sample()] * 10)] * 10
    _, out, err = world.run("s3", "--rate=2", "--json", script=flood)
    assert 20 <= len(out.splitlines()) <= 22
    assert err.endswith("of 1,000 records that passed\n")


def test_it_ends_after_so_many_records(world: World) -> None:
    daemon = world.daemon()
    _, out, err = world.run("s3", "--limit=3", "--json", script=[lambda: daemon.send(*[sample()] * 10)] * 5)
    assert len(out.splitlines()) == 3
    assert err == "3 shown of 100 records that passed\n"


def test_it_ends_after_a_time(world: World) -> None:
    world.daemon()
    code, _, err = world.run("s3", "--for=5s", script=[pause] * 20)
    assert (code, world.seconds) == (0, 1005.0)
    assert err == "0 shown of 0 records that passed\n"


def test_while_nothing_passes_it_says_why_that_may_be(world: World) -> None:
    daemon = world.daemon()
    (daemon.path / "status.json").write_text('{"healthy": true, "state": "paused"}')
    _, _, err = world.run("s3", script=[pause] * 12)
    assert err.splitlines()[0].startswith("nothing has passed for 10 s; app is paused. A record shows once")
    assert "60 s (chunk.window)" in err
    assert len(err.splitlines()) == 2


def test_a_daemon_that_ends_ends_it(world: World) -> None:
    daemon = world.daemon()
    code, _, err = world.run("s3", script=[pause, daemon.end, *[pause] * 9])
    assert code == 1
    assert err == "app has ended\n0 shown of 0 records that passed\n"


def test_all_workers_of_an_application_on_the_host_are_heard(world: World) -> None:
    workers = [world.daemon("app@a"), world.daemon("app@b")]
    first, second = workers
    script = [
        lambda: first.send(sample(sequence_number="1")),
        lambda: second.send(sample(sequence_number="2")),
        first.end,
        pause,
        pause,
        lambda: second.send(sample(sequence_number="3")),
    ]
    code, out, err = world.run("s3", "--json", script=script)
    assert code == 0
    assert [json.loads(line)["sequence_number"] for line in out.splitlines()] == ["1", "2", "3"]
    assert err.startswith("app has ended\n")


def test_without_a_daemon_it_says_so(world: World) -> None:
    assert world.run("s3") == (1, "", f"tap: no daemon of s3 runs from {world.state_dir}\n")
    world.daemon().end()
    world.daemon("other", backend="bigquery")
    assert world.run("s3") == (1, "", f"tap: no daemon of s3 runs from {world.state_dir}\n")
    world.daemon("third", application="third")
    refusal = f"tap: no daemon of app runs from {world.state_dir}\n"
    assert world.run("s3", "--set=applicationName=app") == (1, "", refusal)


def test_of_two_applications_one_has_to_be_chosen(world: World) -> None:
    one, other = world.daemon("one", application="one"), world.daemon("other", application="other")
    refusal = f"tap: choose one by --set applicationName=NAME: one, other run from {world.state_dir}\n"
    assert world.run("s3") == (1, "", refusal)
    _, out, _ = world.run(
        "s3",
        "--json",
        "--set=applicationName=other",
        script=[lambda: one.send(sample()), lambda: other.send(sample())],
    )
    assert [json.loads(line)["application"] for line in out.splitlines()] == ["other"]


def test_what_is_no_sample_is_passed_over(world: World) -> None:
    daemon = world.daemon()

    def garbage() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            for datagram in (b"", b"{", b"\xff", b'{"shard":1}'):
                sender.sendto(datagram, str(daemon.requests()[0].with_suffix(".socket")))

    _, out, _ = world.run("s3", "--json", script=[garbage, lambda: daemon.send(sample())])
    assert len(out.splitlines()) == 1


def test_what_killed_taps_have_left_is_removed_and_their_number_is_limited(world: World) -> None:
    daemon = world.daemon()
    folder = daemon.path / TAPS_FOLDER
    folder.mkdir(0o700)
    alive = []
    for number in range(MOST_TAPS):
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        bound.bind(str(folder / f"{number}.socket"))
        (folder / f"{number}.json").write_text("{}")
        alive.append(bound)
    assert world.run("s3") == (1, "", f"tap: {MOST_TAPS} taps listen to app already\n")
    alive.pop().close()
    (folder / "half.tmp").write_text("")
    (folder / "lone.json").write_text("{}")
    assert world.run("s3", script=[pause])[0] == 0
    assert len(daemon.left()) == 2 * (MOST_TAPS - 1)
    for bound in alive:
        bound.close()


def test_another_user_is_told_who_may_listen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = world.daemon()
    monkeypatch.setattr(tap_command, "running", lambda state_dir: iter(()))  # its lock cannot be seen
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != daemon.path)
    code, _, err = world.run("s3")
    assert code == 1
    assert err == (
        f"tap: {daemon.path} belongs to user {os.geteuid()}: a tap shows records, so that user alone may listen,"
        " and root\n"
    )


def test_root_becomes_the_user_of_the_daemon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or its shard processes could not see what root has left."""
    daemon = world.daemon()
    became: list[object] = []
    owner = os.stat_result((0o40700, 1, 1, 1, 123, 456, 0, 0, 0, 0))
    real = Path.stat
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        Path, "stat", lambda path, **named: owner if path == daemon.path else real(path, **named)
    )
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda given, name=name: became.append((name, given)))
    world.run("s3", script=[pause])
    assert became == [("setgroups", []), ("setgid", 456), ("setuid", 123)]


def test_a_state_directory_that_cannot_be_written_to_is_one_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = world.daemon()

    def full(path: Path, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "mkdir", full)
    code, _, err = world.run("s3")
    assert (code, err) == (1, f"tap: {daemon.path / TAPS_FOLDER}: No space left on device\n")


@pytest.mark.parametrize(
    "wrong", ["--rate=0", "--rate=101", "--rate=nan", "--limit=0", "--for=soon", "--for=999999999w"]
)
def test_wrong_options_are_wrong_usage(world: World, wrong: str) -> None:
    with pytest.raises(SystemExit) as end:
        world.run("s3", wrong)
    assert end.value.code == 2
