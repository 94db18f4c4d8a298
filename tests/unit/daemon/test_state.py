import os
import socket
from pathlib import Path

import pytest

from consumer.daemon.errors import StartFailed
from consumer.daemon.state import directory_of, locked
from consumer.settings import load


def test_a_file_is_replaced_and_for_its_owner_alone(tmp_path: Path) -> None:
    with locked(tmp_path / "state") as state:
        for content in (b"old", b"new"):
            state.write(state.logback_file, content)
        assert state.logback_file.read_bytes() == b"new"
        assert state.logback_file.stat().st_mode & 0o777 == 0o600
        assert state.path.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in state.path.iterdir()} == {"lock", "logback.xml"}


@pytest.mark.parametrize("folder", ["state", "long" * 30])
def test_the_events_socket_can_be_reached_however_long_its_path(tmp_path: Path, folder: str) -> None:
    with locked(tmp_path / folder) as state, state.listen() as listener:
        assert len(state.events_path) < 108
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", state.events_path)
        assert listener.recv(100) == b"hello"


def test_a_socket_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "state") as state:
            state.listen().close()


def test_a_held_lock_names_its_holder_and_the_way_out(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StartFailed) as refusal, locked(tmp_path):
        pass
    assert f"process {os.getpid()}" in str(refusal.value)
    assert "supervisor.lock = worker" in str(refusal.value)


def test_a_directory_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StartFailed, match=r"worker\.state_dir: cannot write to"),
        locked(tmp_path / "file" / "x"),
    ):
        pass


@pytest.mark.parametrize(("lock", "name"), [("application", "player-log-s3"), ("worker", "player-log-s3@me")])
def test_state_is_kept_by_application_or_by_worker(tmp_path: Path, lock: str, name: str) -> None:
    overrides = {"s3.bucket": "bucket", "worker.state_dir": str(tmp_path), "supervisor.lock": lock}
    assert directory_of(load("s3", overrides=overrides), worker_id="me") == tmp_path / name


def test_only_this_user_reaches_the_fork_server(tmp_path: Path) -> None:
    with locked(tmp_path) as state, state.listen_for_launchers() as listener:
        assert Path(state.fork_server_path).stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as launcher:
            launcher.connect(state.fork_server_path)
            accepted, _ = listener.accept()
            accepted.close()
