import sys
from pathlib import Path

import pytest

from consumer.daemon.java import MAIN_CLASS, java_command, java_executable, kcl_properties, worker_id
from consumer.daemon.state import StateDirectory
from consumer.settings import PROJECT_ROOT, Settings, load
from consumer.settings.properties_file import Entry, parse


def settings(**overrides: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in overrides.items()}
    return load("s3", overrides={"s3.bucket": "bucket", **named})


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(path=tmp_path, events_path="/events", descriptor=-1)


def test_the_command_runs_the_daemon_with_our_logback_from_the_first_line(state: StateDirectory) -> None:
    command = java_command(settings(jvm__options="-Xmx1g '-Da=b c'"), state, {"PATH": "/usr/bin"})
    java, *options = command.arguments
    assert Path(java).name == "java"
    assert options[:2] == ["-Xmx1g", "-Da=b c"]
    assert f"-Dlogback.configurationFile={state.path}/logback.xml" in options
    assert options[options.index("-cp") + 1].endswith("amazon_kclpy/jars/*")
    assert options[options.index(MAIN_CLASS) :] == [
        MAIN_CLASS,
        "--properties-file",
        str(state.path / "kcl.properties"),
        "--log-configuration",
        str(state.path / "logback.xml"),
    ]


def test_shard_processes_find_python_the_package_their_settings_and_the_supervisor(
    state: StateDirectory,
) -> None:
    given = {"PATH": "/usr/bin", "PYTHONPATH": "/more", "AWS_REGION": "here"}
    environment = java_command(settings(), state, given).environment
    assert environment["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert environment["PYTHONPATH"] == f"{PROJECT_ROOT}:/more"
    assert environment["CONSUMER_SETTINGS"] == str(state.path / "settings.json")
    assert environment["CONSUMER_EVENTS"] == "/events"
    assert environment["AWS_REGION"] == "here"


def test_the_kcls_file_holds_its_keys_and_what_follows_from_ours() -> None:
    text = kcl_properties(settings(worker__id="me", streamName="some", maxRecords="5000"))
    entries = {entry.key: entry.value for entry in parse(text) if isinstance(entry, Entry)}
    assert entries["workerId"] == "me"
    assert entries["streamName"] == "some"
    assert entries["maxRecords"] == "5000"
    assert entries["executableName"] == f"{Path(sys.executable).name} -m consumer.shard"
    assert "/" not in entries["executableName"]
    assert not [key for key in entries if key.startswith(("s3.", "chunk."))]


def test_the_worker_is_named_after_backend_and_host_and_fit_for_the_kcl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "ip 10/0")
    assert worker_id(settings()) == "s3-ip-10-0"
    assert worker_id(settings(worker__id="own")) == "own"


def test_a_java_that_is_named_is_used() -> None:
    assert java_executable(settings(jvm__java=sys.executable)) == Path(sys.executable)
