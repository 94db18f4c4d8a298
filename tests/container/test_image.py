"""The image: what is in it, and that it delivers, as an unprivileged user on a read-only root file system."""

import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumer.local import stack as stacks
from consumer.local.generate import Logs, midnight_today
from consumer.local.put import Target, put
from consumer.local.readback import S3Reader, dead_letters, records_named
from consumer.local.stack import Stack
from consumer.local.verify import Verifier
from tests.container.engine import Container, Engine

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

STATE = "/var/lib/consumer"
UNPRIVILEGED = (
    *("--read-only", "--read-only-tmpfs=false"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--memory", "2g", "--pids-limit", "512"),
)
DEADLINE_SECONDS = 150
LEFT_OVER = r"""
for name in cc gcc g++ c++ make javac pip pip3 git; do command -v $name; done
find / -xdev \( -name '*.deb' -o -path '*/.cache/*' -o -path '/opt/*.whl' -o -path '/opt/*/build-tools' \) 2> /dev/null
true
"""
WRITABLE = "find / -xdev -writable ! -type l ! -path '/proc/*' ! -path '/dev/*' 2> /dev/null; true"


def test_the_image_says_how_it_is_run_stopped_and_asked(engine: Engine) -> None:
    image = engine.inspect()
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["/opt/consumer/.venv/bin/python", "-m", "consumer"]  # no shell in between
    assert config["Cmd"] == ["--help"]
    assert image["Healthcheck"]["Test"] == ["CMD", *config["Entrypoint"], "health"]
    assert config["Volumes"] == {STATE: {}}


def test_the_last_stage_has_no_compiler_and_no_package_cache(engine: Engine) -> None:
    assert engine.shell(LEFT_OVER) == ""


def test_the_user_can_change_nothing_but_its_one_directory(engine: Engine) -> None:
    assert engine.shell("id -u", options=UNPRIVILEGED) == "10001"
    assert engine.shell(WRITABLE, options=UNPRIVILEGED) == STATE


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with stacks.running(tmp_path, shards=2) as running:
        yield running.stack


def free_port() -> int:
    """On the host's network, as the container is: another process may have any fixed one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start(engine: Engine, stack: Stack) -> Container:
    """`docker run IMAGE start s3`, with the settings in the environment as ECS has them."""
    settings = {
        **stacks.overrides(stack, "s3"),
        "chunk.window": "2s",
        "chunk.grace": "1s",
        "http.port": str(free_port()),
    }
    variables = {f"CONSUMER_SET_{key.replace('.', '__')}": text for key, text in settings.items()}
    environment = {**stacks.environment(stack), **variables}
    given = [f"--env={key}={text}" for key, text in environment.items()]
    return engine.start("start", "s3", options=(*UNPRIVILEGED, *given))


def wait_for(reader: S3Reader, count: int, container: Container) -> int:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := records_named(reader.keys())) < count:
        assert container.running(), container.log()
        assert time.monotonic() < deadline, f"{found} of {count} records arrived\n{container.log()}"
        time.sleep(0.5)
    return found


def test_I1_it_delivers_and_sigterm_ends_it_with_0_and_nothing_lost(engine: Engine, stack: Stack) -> None:
    logs = list(Logs(count=4000, seed=6, base_time=midnight_today(datetime.now(UTC))).lines())
    target = Target(stack.client("kinesis"), stack.stream)
    reader = S3Reader(stack, "player-log/")
    put(logs[:1500], target)
    first = start(engine, stack)
    try:
        delivered = wait_for(reader, 1, first)
        health = first.run(*engine.inspect()["Healthcheck"]["Test"][1:])
        put(logs[1500:3500], target)
        first.signal(signal.SIGTERM.name)
        put(logs[3500:], target)
        assert first.wait() == 0, first.log()
        assert "AOT cache" not in first.log(), "the JVM has one, which fits"
        assert 0 < delivered < len(logs), "nothing was flowing: the test shows nothing"
        assert (health.returncode, health.stdout) == (0, "player-log-s3: healthy\n"), health.stderr
    finally:
        first.remove()
    second = start(engine, stack)
    try:
        wait_for(reader, len(logs), second)
        second.signal(signal.SIGTERM.name)
        assert second.wait() == 0, second.log()
    finally:
        second.remove()
    letters = S3Reader(stack, "deadletter/")
    result = Verifier(logs).s3(reader.lines(), dead_letters(letters.lines()))
    assert result.clean, result
    assert result.delivered == len(logs)
