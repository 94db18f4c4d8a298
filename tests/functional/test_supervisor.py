"""The supervisor as a process, with a stand-in for the JVM."""

import json
import os
import resource
import signal
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumer.daemon.commands import health as health_command
from consumer.daemon.commands.health import health_main
from tests.functional.conftest import StartDaemon
from tests.functional.harness.daemon import DEADLINE_SECONDS, await_end, runs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_drains_the_shard_processes_and_ends_in_order(
    start: StartDaemon, number: signal.Signals
) -> None:
    daemon = start()
    jvm, shard = daemon.running()
    daemon.signal(number)
    daemon.line("shardId-000000000000: draining")
    assert daemon.end() == 0
    assert not runs(jvm)
    assert not runs(shard)


@pytest.mark.parametrize(
    ("assignments", "open_shards", "heap"),
    [
        ((), "1", ["-Xmx384m"]),
        (("maxLeasesForWorker=2",), "1000000", ["-Xmx384m"]),
        (("jvm.heap=100MiB",), "100", ["-Xmx100m"]),
        (("jvm.options=-Xmx77m",), "100", ["-Xmx77m"]),
        (("jvm.options=-XX:MaxRAMPercentage=20",), "100", []),
    ],
)
def test_the_jvm_may_have_the_heap_that_the_settings_say(
    start: StartDaemon, assignments: tuple[str, ...], open_shards: str, heap: list[str]
) -> None:
    jvm, _ = start(*assignments, OPEN_SHARDS=open_shards).running()
    assert _heap_options(jvm) == heap


@pytest.mark.parametrize(
    ("environment", "heap"),
    [
        ({"OPEN_SHARDS_LATER": "6"}, ["-Xmx848m"]),
        ({"OPEN_SHARDS_LATER": "2"}, ["-Xmx384m"]),
        ({}, ["-Xmx608m"]),
        ({"COUNT": "fails"}, ["-Xmx608m"]),
        ({"COUNT": "hangs"}, ["-Xmx608m"]),
    ],
)
def test_a_jvm_that_starts_again_may_have_the_heap_for_the_shards_of_that_moment(
    start: StartDaemon, environment: dict[str, str], heap: list[str]
) -> None:
    daemon = start(OPEN_SHARDS="4", **environment)
    first, _ = daemon.running()
    assert _heap_options(first) == ["-Xmx608m"]
    os.kill(first, signal.SIGKILL)
    second, _ = daemon.running()
    assert _heap_options(second) == heap


def test_a_daemon_that_counts_shards_ends_at_once(start: StartDaemon) -> None:
    daemon = start(COUNT="hangs")
    first, _ = daemon.running()
    os.kill(first, signal.SIGKILL)
    daemon.line("starting the JVM again")
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    assert not any("could not be counted" in line for line in daemon.lines)


def test_too_little_memory_for_all_shards_to_lag_is_told(start: StartDaemon) -> None:
    daemon = start(OPEN_SHARDS="1000000")
    daemon.line("WARNING.*jvm.heap: 1000000 shards that lag need up to 120000128 MiB, and .* fewer shards")


def test_an_orderly_end_shows_no_exit_code_that_looks_like_a_failure(start: StartDaemon) -> None:
    daemon = start()
    daemon.running()
    daemon.signal(signal.SIGTERM)
    daemon.line("INFO .*: ended in order$")
    assert daemon.end() == 0
    assert not any("exit code" in line for line in daemon.lines)


def test_a_jvm_that_does_not_end_within_the_grace_is_killed_with_its_children(start: StartDaemon) -> None:
    daemon = start("jvm.options=--ignore-term", "shutdownGraceMillis=1", "supervisor.grace_margin=1s")
    jvm, shard = daemon.running()
    daemon.signal(signal.SIGTERM)
    daemon.line("has not ended within 1 s: killing it")
    assert daemon.end() == 1
    assert not runs(jvm)
    assert not runs(shard)


def test_a_jvm_that_is_still_starting_ends_in_order(start: StartDaemon) -> None:
    daemon = start("jvm.options=--early")
    daemon.line("JVM: starting")
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0


def test_a_jvm_that_fails_while_ending_is_not_an_orderly_end(start: StartDaemon) -> None:
    daemon = start("jvm.options=--term-code=1")
    daemon.running()
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 1


def test_a_second_signal_ends_at_once(start: StartDaemon) -> None:
    daemon = start("jvm.options=--ignore-term")
    jvm, shard = daemon.running()
    daemon.signal(signal.SIGTERM)
    daemon.line("draining")
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 1
    assert not runs(jvm)
    assert not runs(shard)


def test_sigkill_of_the_supervisor_leaves_nothing_running(start: StartDaemon) -> None:
    daemon = start()
    jvm, shard = daemon.running()
    daemon.signal(signal.SIGKILL)
    await_end(jvm)
    await_end(shard)


def test_a_killed_jvm_is_started_again(start: StartDaemon) -> None:
    daemon = start("supervisor.restart_base=10ms")
    jvm, shard = daemon.running()
    os.kill(jvm, signal.SIGKILL)
    daemon.line("the JVM ended with SIGKILL")
    again, _ = daemon.running()
    assert again != jvm
    assert not runs(shard)
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0


def test_a_jvm_that_gives_up_over_a_failed_shard_process_is_not_waited_for(start: StartDaemon) -> None:
    daemon = start("jvm.options=--crash", "supervisor.restart_base=10ms")
    jvm, _ = daemon.running()
    daemon.line("a shard process has failed and the JVM with it")
    daemon.line("the JVM ended with SIGKILL")
    again, _ = daemon.running()
    assert again != jvm


def test_shard_processes_that_outlive_the_jvm_are_killed(start: StartDaemon) -> None:
    daemon = start("jvm.options=--shard=--stay")
    _, shard = daemon.running()
    daemon.signal(signal.SIGTERM)
    daemon.line("1 shard processes had to be killed")
    assert daemon.end() == 0
    assert not runs(shard)


def test_too_many_rapid_ends_in_a_row_make_the_supervisor_give_up(start: StartDaemon) -> None:
    daemon = start("jvm.options=--exit=7", "supervisor.restart_base=10ms", "supervisor.restart_limit=3")
    daemon.line("ended 4 times in a row soon after its start: giving up")
    assert daemon.end() == 1
    assert sum("ended with exit code 7" in line for line in daemon.lines) == 4


def test_a_signal_during_the_pause_before_a_restart_ends_in_order(start: StartDaemon) -> None:
    daemon = start("jvm.options=--exit=1", "supervisor.restart_base=10m", "supervisor.restart_max=10m")
    daemon.line("starting the JVM again in")
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0


@pytest.mark.parametrize("prepare", ["waits", "hangs"])
def test_a_signal_during_preparation_ends_in_order(start: StartDaemon, prepare: str) -> None:
    daemon = start(PREPARE=prepare)
    daemon.line("preparing")
    daemon.signal(signal.SIGTERM)
    daemon.line("ended in order, before anything was read")
    assert daemon.end() == 0


def test_a_hung_jvm_is_killed_and_started_again(start: StartDaemon, tmp_path: Path) -> None:
    daemon = start("jvm.options=--shard=--hung", "supervisor.hang_timeout=1s", "supervisor.restart_base=10ms")
    jvm, _ = daemon.running()
    daemon.line("the JVM has called no shard process for")
    again, _ = daemon.running()
    assert again != jvm


def test_a_paused_shard_process_whose_lease_has_gone_to_another_worker_is_drained(start: StartDaemon) -> None:
    daemon = start(
        "health.unread_after=1s", "failoverTimeMillis=1000", PAUSED="a migration", LEASE_OWNER="other"
    )
    daemon.line("paused by ops@host: a migration")
    _, shard = daemon.running()
    daemon.line("shardId-000000000000: draining")
    assert runs(shard)


def test_a_shard_process_is_left_alone_where_nothing_is_paused(start: StartDaemon) -> None:
    daemon = start("health.unread_after=1s", "failoverTimeMillis=1000", LEASE_OWNER="other")
    daemon.line("worker other has its lease and does not renew it")
    daemon.signal(signal.SIGTERM)
    asked = daemon.line("SIGTERM: ending in order|draining")
    assert asked[0] == "SIGTERM: ending in order"


def test_the_leaders_lock_is_released_before_each_jvm(start: StartDaemon) -> None:
    daemon = start("supervisor.restart_base=10ms", LOCK="ours")
    daemon.line("the lock of the KCL's leader is released")
    jvm, _ = daemon.running()
    os.kill(jvm, signal.SIGKILL)
    daemon.line("the lock of the KCL's leader is released")
    daemon.running()


def test_a_lock_that_cannot_be_looked_at_is_told_and_the_jvm_starts(start: StartDaemon) -> None:
    daemon = start(LOCK="fails")
    daemon.line("the lock of the KCL's leader could not be looked at, .* DynamoDB does not answer in time")
    daemon.running()


def test_two_supervisors_of_one_application_refuse_each_other(start: StartDaemon) -> None:
    first = start()
    first.running()
    second = start()
    second.line(f"another supervisor \\(process {first.pid}\\) runs this application")
    assert second.end() == 1
    first.signal(signal.SIGTERM)
    assert first.end() == 0
    third = start()
    third.running()


def test_two_workers_of_one_application_run_side_by_side_when_told_so(start: StartDaemon) -> None:
    first = start("supervisor.lock=worker", "worker.id=one")
    second = start("supervisor.lock=worker", "worker.id=two")
    first.running()
    second.running()
    third = start("supervisor.lock=worker", "worker.id=one")
    assert third.end() == 1


def test_the_status_file_and_healthz_tell_of_a_held_shard(
    start: StartDaemon, tmp_path: Path, free_port: int
) -> None:
    daemon = start("jvm.options=--shard=--held", f"http.port={free_port}")
    jvm, shard = daemon.running()
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(f"http://127.0.0.1:{free_port}/healthz", timeout=DEADLINE_SECONDS)
    with answer.value as response:
        status = json.load(response)
        assert response.status == 503
    assert status["jvm"] == {"pid": jvm, "restarts": 0, "errors": 0, "last_error": None}
    assert [one["pid"] for one in status["shards"]] == [shard]
    assert status["reasons"] == ["shardId-000000000000: held: too many bad records"]
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    written = json.loads((tmp_path / "state" / "player-log-s3" / "status.json").read_bytes())
    assert written["phase"] == "stopping"


def test_the_port_serves_metrics_and_tells_ready_and_live_apart_from_well(
    start: StartDaemon, free_port: int
) -> None:
    daemon = start("jvm.options=--shard=--held", f"http.port={free_port}")
    daemon.running()
    url = f"http://127.0.0.1:{free_port}"
    with urllib.request.urlopen(f"{url}/metrics", timeout=DEADLINE_SECONDS) as response:
        text = response.read().decode()
    common = 'application="player-log-s3",backend="s3"'
    assert f"consumer_shards_held{{{common}}} 1.0\n" in text
    assert f'consumer_state{{{common},state="held"}} 1.0\n' in text
    assert f"consumer_conservation_records{{{common}}} 0.0\n" in text
    for kind in ("supervisor", "jvm", "shard"):
        assert f'consumer_process_memory_bytes{{{common},process="{kind}"}} ' in text
    for path in ("readyz", "livez"):
        with urllib.request.urlopen(f"{url}/{path}", timeout=DEADLINE_SECONDS) as response:
            assert json.load(response)["state"] == "held"


def test_metrics_are_written_as_lines_and_an_endpoint_that_is_not_there_is_told(
    start: StartDaemon, free_port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon = start(
        "metrics.emf=true", "metrics.interval=1s", f"metrics.otlp_endpoint=http://127.0.0.1:{free_port}"
    )
    daemon.running()
    daemon.line(r"push of metrics failed \(number 1 in a row\)")
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {line["application"] for line in lines} == {"player-log-s3"}
    assert lines[0]["consumer_conservation_records"] == 0


def test_health_tells_who_runs_answers_and_is_well(
    start: StartDaemon, tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--state-dir", str(tmp_path / "state")]
    assert health_main(arguments) == 1
    daemon = start("jvm.options=--shard=--held", f"http.port={free_port}")
    daemon.running()
    assert health_main(arguments) == 0
    assert health_main([*arguments, "--strict"]) == 1
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    assert health_main(arguments) == 1
    said = capsys.readouterr().out.splitlines()
    nobody = f"no daemon runs from {tmp_path / 'state'}"
    held = "player-log-s3: shardId-000000000000: held: too many bad records"
    assert said == [nobody, held, held, nobody]


def test_health_asks_this_host_whatever_proxy_the_environment_names(
    start: StartDaemon, tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(f"http.port={free_port}").running()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert health_main(["--state-dir", str(tmp_path / "state"), "--strict"]) == 0


def test_health_looks_where_the_settings_keep_the_state(
    start: StartDaemon,
    tmp_path: Path,
    free_port: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CONSUMER_SET_WORKER__STATE_DIR", raising=False)
    properties = tmp_path / "s3.properties"
    properties.write_text(f"no.such.key = 1\nworker.state_dir = {tmp_path / 'state'}\n")
    arguments = ["--properties", str(properties)]
    daemon = start(f"http.port={free_port}")
    daemon.running()
    assert health_main(arguments) == 0
    monkeypatch.setenv("CONSUMER_SET_WORKER__STATE_DIR", str(tmp_path / "other"))
    assert health_main(arguments) == 1
    assert capsys.readouterr().out == f"player-log-s3: healthy\nno daemon runs from {tmp_path / 'other'}\n"


def test_health_fails_when_a_supervisor_does_not_answer(
    start: StartDaemon, tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_command, "_SECONDS", 0.2)
    daemon = start(f"http.port={free_port}")
    daemon.running()
    daemon.signal(signal.SIGSTOP)
    try:
        assert health_main(["--state-dir", str(tmp_path / "state")]) == 1
    finally:
        daemon.signal(signal.SIGCONT)


def test_too_few_open_files_are_one_line_before_anything_starts(
    start: StartDaemon,
) -> None:
    daemon = start(DESCRIPTORS="64:64")
    assert daemon.end() == 1
    assert [line for line in daemon.lines if "open files: 64 are allowed, and 256 are needed" in line]
    assert len(daemon.lines) == 1


def test_a_low_limit_of_open_files_that_may_be_raised_is_raised(start: StartDaemon) -> None:
    daemon = start(DESCRIPTORS="64:300")
    jvm, _ = daemon.running()
    assert resource.prlimit(jvm, resource.RLIMIT_NOFILE) == (256, 300)


def test_connections_to_the_health_port_take_nothing_that_the_daemon_needs(
    start: StartDaemon, tmp_path: Path, free_port: int
) -> None:
    daemon = start(f"http.port={free_port}", "supervisor.restart_base=10ms", "shard.fork_server=true")
    jvm, _ = daemon.running()
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (256, 256))
    with ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", free_port), DEADLINE_SECONDS))
        assert health_main(["--state-dir", str(tmp_path / "state")]) == 0
        os.kill(jvm, signal.SIGKILL)
        again, _ = daemon.running()
        assert again != jvm
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    assert len(daemon.lines) < 50


def test_a_port_in_use_is_one_line_that_names_the_setting(start: StartDaemon, free_port: int) -> None:
    first = start(f"http.port={free_port}")
    first.running()
    second = start(f"http.port={free_port}", "applicationName=other")
    assert second.end() == 1
    assert [line for line in second.lines if "ERROR" in line] == second.lines
    assert (
        f"http.port: cannot listen on 127.0.0.1 port {free_port}: another process has it" in second.lines[0]
    )


def test_events_arrive_when_the_state_directory_is_longer_than_a_socket_address(
    start: StartDaemon, tmp_path: Path
) -> None:
    daemon = start(f"worker.state_dir={tmp_path / ('long' * 30)}")
    daemon.running()
    daemon.signal(signal.SIGTERM)
    daemon.line("draining")
    assert daemon.end() == 0


def test_what_a_process_writes_cannot_forge_a_log_line(start: StartDaemon) -> None:
    daemon = start("jvm.options=--shard=--forge")
    daemon.running()
    assert daemon.line("forged")[0]
    assert "\\x1b" in daemon.lines[-1]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _heap_options(jvm: int) -> list[str]:
    arguments = Path(f"/proc/{jvm}/cmdline").read_text().split("\0")
    return [argument for argument in arguments if argument.startswith("-Xmx")]
