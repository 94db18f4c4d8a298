"""bin/setup without a network: how it finds Python, how it compares jars, how it switches between builds."""

import hashlib
import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
PATH = "/usr/bin:/bin"


def load_setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("consumer_setup", ROOT / "bin/_setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


setup = load_setup()


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with what bin/setup itself calls, and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "cat", "cut", "dirname", "sed", "sha256sum"):
        (folder / name).symlink_to(
            next(path for path in map(Path, (f"/usr/bin/{name}", f"/bin/{name}")) if path.exists())
        )
    return folder


def command(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def real_python(path: Path) -> Path:
    return command(path, f'exec {shlex.quote(sys.executable)} "$@"')


def find_python(*folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": ":".join(map(str, folders)), **environment}
    return subprocess.run(
        ["/bin/sh", ROOT / "bin/setup", "--find-python"], env=env, capture_output=True, text=True, check=False
    )


def test_python_is_taken_from_the_path(tools: Path, tmp_path: Path) -> None:
    python = real_python(tmp_path / "a b/python3.13")
    assert find_python(tools, python.parent).stdout == f"{python}\n"


def test_a_shim_that_fails_is_passed_over(tools: Path, tmp_path: Path) -> None:
    shim = command(tmp_path / "shims/python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    python = real_python(tmp_path / "good/python3.13")
    assert find_python(tools, shim.parent, python.parent).stdout == f"{python}\n"


def test_another_version_of_python_is_passed_over(tools: Path, tmp_path: Path) -> None:
    old = command(tmp_path / "old/python3.13", "exit 1")
    assert find_python(tools, old.parent).returncode == 1


def test_a_plain_python3_will_do_when_it_is_3_13(tools: Path, tmp_path: Path) -> None:
    python = real_python(tmp_path / "good/python3")
    assert find_python(tools, python.parent).stdout == f"{python}\n"


@pytest.mark.parametrize(("variable", "folder"), [("PYENV_ROOT", "pyenv"), ("HOME", "home/.pyenv")])
def test_python_is_taken_from_pyenv(tools: Path, tmp_path: Path, variable: str, folder: str) -> None:
    python = real_python(tmp_path / folder / "versions/3.13.7/bin/python")
    root = tmp_path / folder.removesuffix("/.pyenv")
    assert find_python(tools, **{variable: str(root)}).stdout == f"{python}\n"


def test_the_variable_wins_over_the_path(tools: Path, tmp_path: Path) -> None:
    first = real_python(tmp_path / "first/python3.13")
    second = real_python(tmp_path / "second/python3.13")
    assert find_python(tools, first.parent, PYTHON=str(second)).stdout == f"{second}\n"


def test_a_variable_that_names_something_else_is_refused(tools: Path, tmp_path: Path) -> None:
    python = real_python(tmp_path / "first/python3.13")
    found = find_python(tools, python.parent, PYTHON="/no/such/python")
    assert found.returncode == 1
    assert (
        found.stderr == "bin/setup: PYTHON is set to '/no/such/python', which does not run as Python 3.13\n"
    )


def test_without_python_the_error_says_what_to_run(tools: Path) -> None:
    command(tools / "apt-get", "exit 0")
    found = find_python(tools)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "Python 3.13 was not found" in found.stderr
    assert "sudo apt-get install python3.13 python3.13-venv" in found.stderr


def test_nothing_is_done_when_the_environment_is_up_to_date() -> None:
    # Without Python on the PATH it could do nothing.
    done = subprocess.run(
        [ROOT / "bin/setup"], env={"PATH": PATH}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_unknown_argument_is_refused() -> None:
    done = subprocess.run([ROOT / "bin/setup", "--now"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown argument '--now'" in done.stderr


@pytest.fixture
def jars(tmp_path: Path) -> tuple[Path, Path]:
    """A directory with two jars, and the list that fits it."""
    folder = tmp_path / "jars"
    folder.mkdir()
    contents = {"a-1.jar": b"a", "b-2.jar": b"b"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "__init__.py").touch()
    sums = tmp_path / "sums"
    sums.write_text(
        "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    )
    return folder, sums


def test_jars_that_fit_the_list_pass(jars: tuple[Path, Path]) -> None:
    assert setup.compare_jars(*jars) == []


def test_a_changed_a_missing_and_an_extra_jar_are_all_named(jars: tuple[Path, Path]) -> None:
    folder, _ = jars
    (folder / "a-1.jar").write_bytes(b"tampered")
    (folder / "b-2.jar").rename(folder / "c-3.jar")
    assert setup.compare_jars(*jars) == ["missing: b-2.jar", "not in the list: c-3.jar", "changed: a-1.jar"]


def test_the_jars_of_this_environment_fit_the_committed_list() -> None:
    assert setup.compare_jars(setup.jar_directory(Path(sys.prefix)), setup.JAR_SUMS) == []


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for builds, in place of this project's."""
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "BUILDS", tmp_path / ".venvs")
    monkeypatch.setattr(setup, "LINK", tmp_path / ".venv")
    setup.BUILDS.mkdir()
    return tmp_path


def fake_install(build: Path, kind: str, progress: object) -> None:
    (build / "bin").mkdir()
    command(build / "bin/python", "exit 0")


def failing_install(build: Path, kind: str, progress: object) -> None:
    (build / "half").touch()
    raise setup.SetupError("no network")


def set_up(
    monkeypatch: pytest.MonkeyPatch, key: str, kind: str = "dev", install: object = fake_install
) -> None:
    monkeypatch.setattr(setup, "install", install)
    setup.set_up(key, kind, setup.Progress())


def builds(checkout: Path) -> int:
    return len(list((checkout / ".venvs").iterdir()))


def test_a_build_becomes_the_environment(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, "first")
    assert os.access(checkout / ".venv/bin/python", os.X_OK)
    assert (checkout / ".venv/setup.stamp").read_text().startswith("first Python 3.13.")


def test_a_failed_build_leaves_the_environment_as_it_was(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(monkeypatch, "first")
    before = (checkout / ".venv").readlink()
    with pytest.raises(setup.SetupError):
        set_up(monkeypatch, "second", install=failing_install)
    assert (checkout / ".venv").readlink() == before
    assert builds(checkout) == 1


def test_a_build_that_was_killed_is_not_taken_for_finished(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = checkout / ".venvs/first-killed"
    half.mkdir()
    fake_install(half, "dev", None)
    set_up(monkeypatch, "first")
    assert (checkout / ".venv").resolve() != half
    assert not half.exists()


def test_an_environment_made_by_hand_is_replaced(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    set_up(monkeypatch, "first")
    assert (checkout / ".venv").is_symlink()


def test_going_back_to_the_last_build_installs_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(monkeypatch, "first")
    first = (checkout / ".venv").readlink()
    set_up(monkeypatch, "second")
    set_up(monkeypatch, "first", install=failing_install)
    assert (checkout / ".venv").readlink() == first


def test_only_the_current_build_and_the_one_before_it_are_kept(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("first", "second", "third"):
        set_up(monkeypatch, key)
    assert builds(checkout) == 2


def test_a_development_environment_serves_the_daemon(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, "first", "dev")
    set_up(monkeypatch, "first", "runtime", install=failing_install)


def test_an_update_keeps_a_developers_tools(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, "first", "dev")
    set_up(monkeypatch, "second", "runtime")
    assert " dev " in (checkout / ".venv/setup.stamp").read_text()


def test_a_failed_command_shows_the_end_of_its_output(tmp_path: Path) -> None:
    with pytest.raises(setup.SetupError, match=r"code 3(.|\n)*out of space"):
        setup.run(["/bin/sh", "-c", "echo out of space; exit 3"], log=tmp_path / "log")


def test_settings_that_send_pip_elsewhere_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert not {"PIP_TARGET", "PYTHONPATH"} & setup.environment().keys()
