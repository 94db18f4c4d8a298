import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.daemon.errors import StartFailed
from consumer.daemon.supervise import own_directory
from consumer.daemon.supervise.state import StateDirectory, directory_of, locked
from consumer.domain.names import TAPS_FOLDER
from consumer.settings import load

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@contextmanager
def held(path: Path, told: list[str] | None = None) -> Iterator[StateDirectory]:
    """Locked; nothing may be said about it unless it is expected."""
    lines: list[str] = []
    with locked(path, warn=lines.append) as state:
        yield state
    if told is None:
        assert lines == []
    else:
        told += lines


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def refusal(path: Path) -> str:
    with pytest.raises(StartFailed) as refused, held(path, []):
        pass
    return str(refused.value)


def test_a_file_is_replaced_and_for_its_owner_alone(tmp_path: Path) -> None:
    with held(tmp_path / "state") as state:
        for content in (b"old", b"new"):
            state.write(state.logback_file, content)
        assert state.logback_file.read_bytes() == b"new"
        assert state.logback_file.stat().st_mode & 0o777 == 0o600
        assert state.path.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in state.path.iterdir()} == {"lock", "logback.xml"}


@pytest.mark.parametrize("folder", ["state", "long" * 30])
def test_the_events_socket_can_be_reached_however_long_its_path(tmp_path: Path, folder: str) -> None:
    with held(tmp_path / folder) as state, state.listen() as listener:
        assert len(state.events_path) < 108
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", state.events_path)
        assert listener.recv(100) == b"hello"


def test_a_socket_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path / "state") as state:
            state.listen().close()


def test_a_held_lock_names_its_holder_and_the_way_out(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(StartFailed) as refusal, held(tmp_path):
        pass
    assert f"process {os.getpid()}" in str(refusal.value)
    assert "supervisor.lock = worker" in str(refusal.value)


def test_a_directory_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StartFailed, match=r"worker\.state_dir: cannot write to"),
        held(tmp_path / "file" / "x"),
    ):
        pass


@pytest.mark.parametrize(("lock", "name"), [("application", "player-log-s3"), ("worker", "player-log-s3@me")])
def test_state_is_kept_by_application_or_by_worker(tmp_path: Path, lock: str, name: str) -> None:
    overrides = {"s3.bucket": "bucket", "worker.state_dir": str(tmp_path), "supervisor.lock": lock}
    assert directory_of(load("s3", overrides=overrides), worker_id="me") == tmp_path / name


def test_only_this_user_reaches_the_fork_server(tmp_path: Path) -> None:
    with held(tmp_path) as state, state.listen_for_launchers() as listener:
        assert Path(state.fork_server_path).stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as launcher:
            launcher.connect(state.fork_server_path)
            accepted, _ = listener.accept()
            accepted.close()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_what_is_made_is_this_users_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with held(tmp_path / "a" / "b" / "app") as state, state.listen(), state.listen_for_launchers():
            state.write(state.settings_file, b"x")
            made = sorted(tmp_path.rglob("*"))
    finally:
        os.umask(before)
    assert {path.name: mode(path) for path in made} == {
        **dict.fromkeys(("a", "b", "app"), 0o700),
        **dict.fromkeys(("lock", "settings.json", "events", "fork-server"), 0o600),
    }


@pytest.mark.parametrize("found", [0o777, 0o770, 0o755, 0o2770])
def test_a_directory_of_ours_that_is_open_to_others_is_closed_with_one_warning(
    tmp_path: Path, found: int
) -> None:
    path = tmp_path / "app"
    path.mkdir()
    path.chmod(found)
    told: list[str] = []
    for _ in range(2):
        with held(path, told):
            assert mode(path) == 0o700
    (line,) = told
    assert (
        line
        == f"worker.state_dir: {path} was open to others (mode {found:04o}) and is now this user's alone (0700)"
    )


@pytest.mark.parametrize(
    ("found", "left"), [(0o777, 0o700), (0o770, 0o700), (0o755, 0o755), (0o750, 0o750), (0o1777, 0o1777)]
)
def test_the_directory_above_is_closed_where_others_could_move_ours(
    tmp_path: Path, found: int, left: int
) -> None:
    above = tmp_path / "state"
    above.mkdir()
    above.chmod(found)
    told: list[str] = []
    with held(above / "app", told):
        assert mode(above) == left
    assert len(told) == (found != left)


def test_a_directory_further_up_that_anybody_may_write_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    told: list[str] = []
    with held(tmp_path / "state" / "app", told):
        assert mode(tmp_path) == 0o777
    (line,) = told
    assert line.startswith(f"worker.state_dir: anybody may write to {tmp_path} (mode 0777)")


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app").mkdir()
    owner = os.geteuid()
    monkeypatch.setattr(own_directory, "_ROOT", owner)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    said = refusal(tmp_path / "app")
    assert said.startswith(
        f"worker.state_dir: {tmp_path / 'app'} belongs to user {owner}, and this is user {owner + 1}:"
    )
    assert list((tmp_path / "app").iterdir()) == []


def test_a_directory_in_one_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(own_directory, "_ROOT", owner + 2)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert f"{tmp_path} belongs to user {owner}" in refusal(tmp_path / "app")
    assert not (tmp_path / "app").exists()


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir(mode=0o755)
    (tmp_path / "app").symlink_to(tmp_path / "precious")
    assert f"{tmp_path / 'app'} is a symbolic link" in refusal(tmp_path / "app")
    assert mode(tmp_path / "precious") == 0o755
    assert list((tmp_path / "precious").iterdir()) == []


def test_a_link_of_ours_may_lead_to_the_directory_above(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    with held(tmp_path / "state" / "app"):
        assert (tmp_path / "disk" / "app" / "lock").exists()


@as_root
def test_a_link_of_somebody_else_may_not(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    os.lchown(tmp_path / "state", 12345, 12345)
    assert f"{tmp_path / 'state'} is a symbolic link of user 12345" in refusal(tmp_path / "state" / "app")
    assert list((tmp_path / "disk").iterdir()) == []


def link(target: Path, path: Path) -> None:
    path.symlink_to(target)


def hard_link(target: Path, path: Path) -> None:
    path.hardlink_to(target)


@pytest.mark.parametrize("name", ["lock", "kcl.log", "settings.json", "settings.json.tmp"])
@pytest.mark.parametrize("plant", [link, hard_link])
def test_what_others_have_planted_in_an_open_directory_is_not_written(
    tmp_path: Path, plant: Callable[[Path, Path], None], name: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    path = tmp_path / "app"
    path.mkdir()
    path.chmod(0o777)
    plant(precious, path / name)
    assert str(path / name) in refusal(path)
    assert precious.read_text() == "kept"


@as_root
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app"
    path.mkdir(mode=0o700)
    (path / "kcl.log").touch()
    os.chown(path / "kcl.log", 12345, 12345)
    assert f"{path / 'kcl.log'} belongs to user 12345" in refusal(path)


@as_root
def test_a_folder_for_taps_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Whoever listens there hears of records."""
    path = tmp_path / "app"
    path.mkdir(mode=0o700)
    (path / TAPS_FOLDER).mkdir()
    os.chown(path / TAPS_FOLDER, 12345, 12345)
    assert f"{path / TAPS_FOLDER} belongs to user 12345" in refusal(path)


def test_a_folder_for_taps_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "app"
    path.mkdir()
    path.chmod(0o755)
    (path / TAPS_FOLDER).mkdir()
    (path / TAPS_FOLDER).chmod(0o777)
    with held(path, []):
        assert mode(path / TAPS_FOLDER) & 0o022 == 0


def test_a_file_that_others_might_write_is_closed_and_a_second_name_of_ours_is_no_matter(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app"
    path.mkdir(mode=0o700)
    (path / "kcl.log").touch()
    (path / "kcl.log").chmod(0o664)
    (tmp_path / "backup").hardlink_to(path / "kcl.log")
    (path / "lost+found").mkdir(mode=0o777)
    with held(path):
        assert mode(path / "kcl.log") == 0o644


def test_what_a_killed_process_left_half_written_is_no_obstacle(tmp_path: Path) -> None:
    with held(tmp_path / "app") as state:
        (state.path / "status.json.tmp").write_bytes(b"half")
        state.write(state.status_file, b"whole")
        assert state.status_file.read_bytes() == b"whole"
        assert sorted(path.name for path in state.path.iterdir()) == ["lock", "status.json"]


def test_a_link_that_is_planted_while_it_runs_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    with held(tmp_path / "app") as state:
        (state.path / "status.json.tmp").symlink_to(precious)
        state.write(state.status_file, b"whole")
        assert not state.status_file.is_symlink()
    assert precious.read_text() == "kept"
