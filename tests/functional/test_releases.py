"""Releases as folders and a link, started as the systemd unit says: what a running daemon, an upgrade and a rollback
see when the link is moved while records flow."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumer.daemon.supervise.fork_server import SERVER_MODULE
from consumer.domain.events import SHARD_PROCESS_NAME
from tests.chaos.processes import tree
from tests.functional.harness.daemon import FUNCTIONAL, ROOT, Daemon
from tests.functional.harness.kcl import payload
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import COMMON, ONE_RECORD_A_CHUNK

UNIT = dict(
    re.findall(r"^(\w+)=(.*)$", (ROOT / "deploy/systemd/consumer@.service").read_text(), re.MULTILINE)
)
SAID = "shard process started"
"""What the code of a shard process logs. In a release of these tests its name follows."""

BIN_START = f"""
. "$(dirname -- "$(readlink -f -- "$0")")/_run"
prepare --runtime
export PYTHONPATH="$root"
exec "$root/.venv/bin/python" -P {FUNCTIONAL}/supervise.py $(cat "$3")
"""
"""bin/start without a backend to prepare: its settings file holds the arguments of supervise.py."""


class Host:
    """/opt/consumer with two releases, and /etc/consumer."""

    def __init__(self, root: Path, arguments: list[str]) -> None:
        self._root = root
        (root / "etc").mkdir(parents=True)
        (root / "etc/s3.properties").write_text("\n".join(arguments))
        for name in ("v1", "v2"):
            self._install(root / "opt" / name)

    def link(self, name: str) -> None:
        """As docs/ec2.md says."""
        (self._root / "opt/next").symlink_to(name)
        (self._root / "opt/next").replace(self._root / "opt/current")

    def start(self, checkpoint: Path) -> Daemon:
        """As systemd does: with the link for a working directory, and by the command of the unit."""
        places = {"%i": "s3", "/opt/consumer": f"{self._root}/opt", "/etc/consumer": f"{self._root}/etc"}
        folder, command = UNIT["WorkingDirectory"], UNIT["ExecStart"]
        for place, ours in places.items():
            folder, command = folder.replace(place, ours), command.replace(place, ours)
        aws = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        return Daemon(command=shlex.split(command), folder=Path(folder), CHECKPOINT=str(checkpoint), **aws)

    def releases(self, daemon: Daemon) -> set[str]:
        """Those in arguments, environment, working directory and mapped files of any process of the daemon."""
        seen = []
        for process in tree(daemon.pid):
            of = Path(f"/proc/{process.pid}")
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                seen += [(of / name).read_text(errors="replace") for name in ("cmdline", "environ", "maps")]
                seen.append(str((of / "cwd").readlink()))
        return set(re.findall(rf"{self._root}/opt/(\w+)", "\n".join(seen)))

    def _install(self, folder: Path) -> None:
        shutil.copytree(ROOT / "consumer", folder / "consumer", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "bin", folder / "bin", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "bin/setup").write_text("#!/bin/sh\n")
        (folder / "bin/start").write_text(f"#!/bin/sh{BIN_START}")
        (folder / ".venv").symlink_to(sys.prefix)
        logs = folder / "consumer/shard/kcl/processor.py"
        text = logs.read_text()
        assert text.count(SAID) == 1
        logs.write_text(text.replace(SAID, f"{SAID} of {folder.name}"))


type StartRelease = Callable[[], Daemon]


@pytest.fixture(params=["true", "false"], ids=["fork server", "no fork server"])
def host(request: pytest.FixtureRequest, java: Path, tmp_path: Path, s3: S3Stub) -> Host:
    text = java.read_text()
    java.write_text(text.replace("fake_java.py", "flowing_java.py"))
    assert java.read_text() != text
    settings = {
        **COMMON,
        **ONE_RECORD_A_CHUNK,
        "s3.bucket": s3.bucket,
        "s3.endpoint_url": s3.url,
        "worker.state_dir": str(tmp_path / "state"),
        "shard.fork_server": request.param,
        "supervisor.restart_base": "10ms",
        "jvm.options": "",
    }
    return Host(tmp_path, [str(java), *(f"{key}={value}" for key, value in settings.items())])


@pytest.fixture
def start(host: Host, tmp_path: Path) -> Iterator[StartRelease]:
    daemons: list[Daemon] = []

    def begin() -> Daemon:
        daemons.append(host.start(tmp_path / "checkpoint"))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        daemon.__exit__()


def flowing(daemon: Daemon) -> tuple[str, int]:
    """Waits for a shard process; the release whose code it is, and the JVM."""
    jvm, said = daemon.jvm_and(rf"{SAID} of (\w+),")
    return said[1], int(jvm[1])


def go_on(s3: S3Stub) -> None:
    """Waits until ten more records are delivered."""
    s3.wait_for_objects(len(s3.objects) + 10)


def test_a_running_daemon_keeps_its_code_when_the_link_is_moved(
    host: Host, start: StartRelease, s3: S3Stub
) -> None:
    host.link("v1")
    daemon = start()
    release, jvm = flowing(daemon)
    assert release == "v1"
    host.link("v2")
    for process in tree(daemon.pid):
        if SERVER_MODULE in process.arguments() and process.name != SHARD_PROCESS_NAME:
            process.send(signal.SIGKILL)
            daemon.line("the fork server runs as process")
    os.kill(jvm, signal.SIGKILL)
    release, _ = flowing(daemon)
    assert release == "v1"
    go_on(s3)
    assert host.releases(daemon) == {"v1"}
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["in order", "after a crash"])
def test_an_upgrade_and_a_rollback_while_records_flow_lose_and_double_nothing(
    host: Host, start: StartRelease, s3: S3Stub, tmp_path: Path, number: signal.Signals
) -> None:
    for name in ("v1", "v2", "v1"):
        host.link(name)
        daemon = start()
        release, _ = flowing(daemon)
        assert release == name
        go_on(s3)
        assert host.releases(daemon) == {name}
        daemon.signal(number)
        assert daemon.end() == (0 if number == signal.SIGTERM else -number)
    daemon = start()
    flowing(daemon)  # what comes before that may be of a shard process that was left over
    go_on(s3)
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    passed = int((tmp_path / "checkpoint").read_text())
    delivered = s3.lines
    assert {payload(number) for number in range(1, passed + 1)} <= set(delivered)
    assert len(set(delivered)) == len(delivered)
    assert s3.one_content_per_key()
