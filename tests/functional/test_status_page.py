"""The status page of a supervisor as a process, with a stand-in for the JVM."""

import http.client
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from consumer.daemon.commands.status import status_main
from tests.functional.conftest import StartDaemon
from tests.functional.harness.daemon import DEADLINE_SECONDS


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def ask(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_page_of_a_held_shard_says_so_and_what_to_do(start: StartDaemon, free_port: int) -> None:
    daemon = start("jvm.options=--shard=--held", f"http.port={free_port}")
    _, shard = daemon.running()
    code, page = ask(free_port, "/")
    assert code == 200
    for shown in (
        "held",
        "too many bad records",
        "docs/runbook.md#held",
        "shardId-000000000000",
        "player-log-s3",
    ):
        assert shown in page
    assert json.loads(ask(free_port, "/status.json")[1])["shards"][0]["pid"] == shard
    assert ask(free_port, "/", host="evil.example")[0] == 421
    assert ask(free_port, "/nowhere")[0] == 404


def test_events_tell_of_a_jvm_that_is_started_again(start: StartDaemon, free_port: int) -> None:
    daemon = start("supervisor.restart_base=10ms", f"http.port={free_port}")
    jvm, _ = daemon.running()
    connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", "/events")
        events = connection.getresponse()
        assert events.readline() == b"retry: 5000\n"
        assert events.readline() == b"\n"
        first = json.loads(events.readline().removeprefix(b"data: "))
        assert "headline" in first["parts"]
        os.kill(jvm, signal.SIGKILL)
        again, _ = daemon.running()
        told = ""
        while f"the JVM runs as process {again}, start 2" not in told:
            line = events.readline()
            assert line
            if line.startswith(b"data: "):
                told = json.loads(line.removeprefix(b"data: "))["parts"].get("happenings", "")
    finally:
        connection.close()
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0


def test_two_daemons_of_a_host_lead_to_each_other(start: StartDaemon, free_port: int) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        other_port = listener.getsockname()[1]
    start(f"http.port={free_port}").running()
    start(f"http.port={other_port}", "applicationName=other").running()
    assert 'href="peer?other"' in ask(free_port, "/")[1]
    connection = http.client.HTTPConnection("127.0.0.1", free_port, timeout=DEADLINE_SECONDS)
    connection.request("GET", "/peer?other", headers={"Host": f"localhost:{free_port}"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (302, f"http://localhost:{other_port}/")
    connection.close()


def test_status_tells_of_a_daemon_here_whose_lease_table_cannot_be_read(
    start: StartDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(name, text)
    nowhere = "dynamoDBEndpoint=http://127.0.0.1:1"
    arguments = ["s3", "--json", "--set", "s3.bucket=bucket", "--set", nowhere]
    arguments += ["--set", f"worker.state_dir={tmp_path / 'state'}"]
    assert status_main(arguments) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert told["state"] == "down"
    assert "dynamoDBEndpoint: nothing answers" in told["todo"]
    start("jvm.options=--shard=--held").running()
    while told["state"] != "held":  # it writes its status every second
        code = status_main(arguments)
        (told,) = json.loads(capsys.readouterr().out)
        assert code == (0 if told["healthy"] else 1)
    assert [shard["shard"] for shard in told["shards"]] == ["shardId-000000000000"]
    assert "too many bad records" in told["shards"][0]["trouble"]
