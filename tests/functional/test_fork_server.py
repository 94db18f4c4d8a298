"""Shard processes forked for launchers, over real pipes and signals."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumer.daemon.supervise.processes import session_members
from consumer.domain.events import SHARD_PROCESS_NAME
from consumer.settings import Settings, load
from tests.chaos.processes import tree
from tests.functional.conftest import StartDaemon, StartShard
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.daemon import Daemon, await_end, runs
from tests.functional.harness.kcl import PROJECT, SAFETY_SECONDS, Kcl, child_environment, record, records
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import ONE_RECORD_A_CHUNK, bigquery_settings, s3_settings
from tests.unit.sinks.bigquery.forward_proxy import forward_proxy

LAUNCHER = ("-S", "-s", "-m", "consumer.shard.process.launcher")
UNTOLD = 70

type Launch = Callable[[], Kcl]


class Server:
    """A fork server and its socket."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        settings_file = folder / "settings.json"
        settings_file.write_bytes(settings.dump())
        self.path = folder / "fork-server"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self.path))
            listener.listen()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "consumer.shard.process.fork_server"],
                stdin=listener.fileno(),
                env=child_environment(settings_file, None),
                cwd=PROJECT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def forked(self) -> int:
        """The process id of its one shard process."""
        [pid] = forked_by(self.pid)
        return pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SAFETY_SECONDS)

    def wait_until_ready(self) -> None:
        """Answers a launcher that gives up at once: the server ends the connection once it has come so far."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(SAFETY_SECONDS)
            connection.connect(str(self.path))
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(10) == b"0\n"


@pytest.fixture
def settings(s3: S3Stub) -> Settings:
    return s3_settings(s3, ONE_RECORD_A_CHUNK)


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    started = Server(settings, tmp_path)
    started.wait_until_ready()
    yield started
    started.kill()


@pytest.fixture
def launch(settings: Settings, server: Server, start_shard: StartShard) -> Launch:
    environment = {"CONSUMER_FORK_SERVER": str(server.path)}
    return lambda: start_shard(settings, program=LAUNCHER, environment=environment)


def forked_by(server: int) -> list[int]:
    return [pid for pid in session_members(server) if pid != server]


def shard_processes_below(pid: int) -> list[int]:
    """As bin/chaos finds them."""
    return [process.pid for process in tree(pid) if process.name == SHARD_PROCESS_NAME]


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_a_forked_shard_process_talks_through_the_launchers_pipes_and_ends_with_them(
    launch: Launch, server: Server, s3: S3Stub
) -> None:
    kcl = launch()
    kcl.initialize()
    assert name_of(server.forked()) == SHARD_PROCESS_NAME
    assert name_of(kcl.child.pid) == "sh"
    kcl.process(records([1, 2]))
    kcl.tick_until_confirmed(2)
    kcl.end_shard()
    assert kcl.finish() == 0
    assert len(s3.lines) == 2
    assert "shard process started" in kcl.stderr
    assert forked_by(server.pid) == []


def test_a_proxy_in_the_environment_of_the_kcl_is_that_of_a_forked_shard_process(
    server: Server, bigquery: BigQueryStub, s3: S3Stub, start_shard: StartShard
) -> None:
    settings = bigquery_settings(
        bigquery,
        s3,
        {
            **ONE_RECORD_A_CHUNK,
            "bigquery.api_endpoint": bigquery.url.replace("127.0.0.1", "bigquery.example"),
        },
    )
    with forward_proxy() as proxy:
        environment = {"CONSUMER_FORK_SERVER": str(server.path), "HTTP_PROXY": proxy.url}
        kcl = start_shard(settings, program=LAUNCHER, environment=environment)
        kcl.initialize()
        kcl.process([record(1, b'{"player_id":"00"}')])
        kcl.tick_until_confirmed(1)
        kcl.end_shard()
        assert kcl.finish() == 0
        assert len(bigquery.rows) == 1
        assert {asked.method for asked in proxy.seen} == {"POST"}


def test_shard_processes_of_one_server_do_not_keep_each_others_pipes_open(launch: Launch) -> None:
    first, second = launch(), launch()
    first.initialize()
    second.initialize()
    assert first.finish() == 0
    second.process(records([1]))
    assert second.finish() == 0


def test_what_the_server_has_loaded_needs_no_thread_no_event_loop_and_no_connection(
    launch: Launch, server: Server
) -> None:
    assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) == 1
    kcl = launch()
    kcl.initialize()
    open_ones = [str(path.readlink()) for path in Path(f"/proc/{server.pid}/fd").iterdir()]
    assert not [what for what in open_ones if "event" in what]
    assert sum(what.startswith("socket:") for what in open_ones) == 2  # the listener, the launcher's


@pytest.mark.parametrize("method", ["insert_all", "load", "storage_write"])
def test_nothing_of_bigquery_that_starts_threads_is_loaded_before_the_fork(
    method: str, tmp_path: Path
) -> None:
    names = {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"}
    server = Server(load("bigquery", overrides={**names, "bigquery.method": method}), tmp_path)
    try:
        server.wait_until_ready()
        assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) == 1
        loaded = Path(f"/proc/{server.pid}/maps").read_text()
        assert "msgspec" in loaded
        assert "grpc" not in loaded
        assert "arrow" not in loaded
    finally:
        server.kill()


def test_the_launcher_ends_as_a_killed_shard_process_does(launch: Launch, server: Server) -> None:
    kcl = launch()
    kcl.initialize()
    os.kill(server.forked(), signal.SIGKILL)
    assert kcl.wait() == 128 + signal.SIGKILL


def test_a_failed_shard_process_is_told_by_its_own_code(launch: Launch) -> None:
    kcl = launch()
    kcl.write(b"no message\n")
    assert kcl.wait() == 70
    assert "not a MultiLang message" in kcl.stderr


def test_sigterm_to_the_launcher_means_drain(launch: Launch) -> None:
    kcl = launch()
    kcl.initialize()
    kcl.process(records([1]))
    kcl.terminate()
    kcl.process(records([2]))
    kcl.shut_down()
    assert kcl.finish() == 0


def test_a_shard_process_ends_with_its_launcher(launch: Launch, server: Server) -> None:
    kcl = launch()
    kcl.initialize()
    shard = server.forked()
    kcl.child.kill()
    await_end(shard)


def test_shard_processes_outlive_their_server(launch: Launch, server: Server, s3: S3Stub) -> None:
    kcl = launch()
    kcl.initialize()
    shard = server.forked()
    server.kill()
    kcl.process(records([1]))
    kcl.tick_until_confirmed(1)
    assert runs(shard)
    kcl.close_input()
    assert kcl.wait() == UNTOLD
    await_end(shard)


def test_without_a_server_the_launcher_becomes_the_shard_process(
    launch: Launch, server: Server, s3: S3Stub
) -> None:
    server.kill()
    kcl = launch()
    kcl.initialize()
    assert name_of(kcl.child.pid) == SHARD_PROCESS_NAME
    kcl.process(records([1]))
    kcl.end_shard()
    assert kcl.finish() == 0
    assert len(s3.lines) == 1


def test_what_a_frozen_server_forks_too_late_touches_nothing(
    launch: Launch, server: Server, s3: S3Stub
) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    kcl = launch()
    kcl.initialize()
    assert name_of(kcl.child.pid) == SHARD_PROCESS_NAME
    os.kill(server.pid, signal.SIGCONT)
    server.wait_until_ready()
    for pid in forked_by(server.pid):
        await_end(pid)
    kcl.process(records([1, 2]))
    kcl.end_shard()
    assert kcl.finish() == 0
    assert len(s3.lines) == 2


def started(start: StartDaemon, *assignments: str) -> tuple[Daemon, int, int, int]:
    """A daemon whose JVM has started one shard process, with the process ids of fork server, JVM and launcher."""
    daemon = start("jvm.options=--real", "shard.fork_server=true", *assignments)
    server = int(daemon.line(r"the fork server runs as process (\d+)")[1])
    daemon.pids.append(server)
    match, _ = daemon.jvm_and("shard process started")
    return daemon, server, int(match[1]), int(match[2])


def test_a_forked_shard_process_is_drained_and_all_end_in_order(start: StartDaemon) -> None:
    daemon, server, jvm, launcher = started(start)
    [shard] = forked_by(server)
    assert shard_processes_below(daemon.pid) == [shard]
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    assert not [pid for pid in (server, jvm, launcher, shard) if runs(pid)]
    assert not [line for line in daemon.lines if "had to be killed" in line]


def test_sigkill_of_the_supervisor_leaves_neither_server_nor_forked_shard_process(start: StartDaemon) -> None:
    daemon, server, jvm, launcher = started(start)
    [shard] = forked_by(server)
    daemon.signal(signal.SIGKILL)
    for pid in (server, jvm, launcher, shard):
        await_end(pid)


def test_a_killed_jvm_takes_its_forked_shard_processes_with_it_and_the_next_one_gets_new_ones(
    start: StartDaemon,
) -> None:
    daemon, server, jvm, _ = started(start, "supervisor.restart_base=10ms")
    [shard] = forked_by(server)
    os.kill(jvm, signal.SIGKILL)
    await_end(shard)
    daemon.line("shard process started")
    [again] = forked_by(server)
    assert again != shard


def test_a_killed_fork_server_is_started_again_and_its_shard_processes_run_on_and_are_drained(
    start: StartDaemon,
) -> None:
    daemon, server, jvm, launcher = started(start, "supervisor.restart_base=10ms")
    [shard] = forked_by(server)
    os.kill(server, signal.SIGKILL)
    again = int(daemon.line(r"the fork server runs as process (\d+)")[1])
    assert shard_processes_below(daemon.pid) == [shard]
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    assert not [pid for pid in (again, jvm, launcher, shard) if runs(pid)]
