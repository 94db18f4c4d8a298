"""bin/setup without a network: how it finds Python, compares jars, compiles, and switches between builds."""

import ctypes
import hashlib
import importlib.util
import os
import shlex
import shutil
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
    monkeypatch.setattr(setup, "NATIVE", tmp_path / "consumer/native")
    monkeypatch.delenv("CC", raising=False)
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


OUTPUT = 'while [ "$1" != -o ]; do shift; done'
"""The beginning of a stand-in for a compiler: afterwards $2 is what it has to write."""


def write_sources(checkout: Path, **contents: str) -> None:
    folder = checkout / "consumer/native"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("_c", ".c").replace("_h", ".h")).write_text(content)


@pytest.fixture
def build(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current environment, finished before there were C sources."""
    set_up(monkeypatch, "first")
    found = (checkout / ".venv").resolve()
    (found / "lib").mkdir()
    return found


def compile_again(monkeypatch: pytest.MonkeyPatch, compiler: Path | str | None = None) -> None:
    """What bin/setup runs where only the library is missing."""
    if compiler is not None:
        monkeypatch.setenv("CC", str(compiler))
    set_up(monkeypatch, "first", install=failing_install)


def libraries(build: Path) -> list[str]:
    assert not list(build.glob("native-*")), "a compile left its folder behind"
    return sorted(path.name for path in (build / "lib").iterdir())


def digest_name(*contents: str) -> str:
    return f"consumer-native-{hashlib.sha256(''.join(contents).encode()).hexdigest()[:16]}.so"


def test_changed_c_sources_are_compiled_into_the_environment_that_is_there(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_sources(checkout, b_c="two", a_c="one", c_h="three")
    said = tmp_path / "said"
    compiler = command(tmp_path / "a b/cc", f'echo "$@" > {said}\n{OUTPUT}\necho made > "$2"')
    compile_again(monkeypatch, f"{shlex.quote(str(compiler))} -m64")
    assert libraries(build) == [digest_name("one", "two", "three")]
    arguments = said.read_text().split()
    assert arguments[0] == "-m64"
    assert set(setup.COMPILE) < set(arguments)
    assert "-target" not in arguments
    assert [Path(one).name for one in arguments[-2:]] == ["a.c", "b.c"]
    compile_again(monkeypatch, "/no/such/compiler")  # there is nothing left to do


@pytest.mark.parametrize("sources", [{}, {"only_h": "a header"}], ids=["none", "a header alone"])
def test_without_c_sources_nothing_is_compiled(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, sources: dict[str, str]
) -> None:
    write_sources(checkout, **sources)
    compile_again(monkeypatch, "/no/such/compiler")
    assert libraries(build) == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f'{OUTPUT}; echo half > "$2"; echo no such type >&2; exit 1', "no such type"),
        (
            f'{OUTPUT}; echo made > "$2"; echo more >> "$(dirname "$0")/consumer/native/a.c"',
            "sources changed",
        ),
    ],
    ids=["fails", "sources change"],
)
def test_a_failed_compile_says_so_and_leaves_no_library(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    write_sources(checkout, a_c="one")
    with pytest.raises(setup.SetupError, match=rf"consumer/native could not be made(.|\n)*{message}"):
        compile_again(monkeypatch, command(checkout / "cc", script))
    assert libraries(build) == []
    assert (checkout / ".venv").resolve() == build


@pytest.mark.parametrize("compiler", ["/no/such/compiler", "cc 'unbalanced"])
def test_a_compiler_that_is_none_is_reported(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    write_sources(checkout, a_c="one")
    with pytest.raises(setup.SetupError, match=r"compiler does not run|CC is not a command"):
        compile_again(monkeypatch, compiler)


def test_an_interrupted_compile_leaves_no_library(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(arguments: list[Path | str], **others: object) -> None:
        Path(arguments[arguments.index("-o") + 1]).write_text("half")
        raise SystemExit(143)

    write_sources(checkout, a_c="one")
    with monkeypatch.context() as patch:
        patch.setattr(setup, "run", interrupted)
        with pytest.raises(SystemExit):
            compile_again(patch, "cc")
    assert libraries(build) == []


def test_what_a_killed_compile_left_is_cleared_away(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sources(checkout, a_c="one")
    (build / "native-killed/compiler").mkdir(parents=True)
    compile_again(monkeypatch, command(checkout / "cc", f'{OUTPUT}; echo made > "$2"'))
    assert libraries(build) == [digest_name("one")]


def test_without_cc_the_locked_compiler_is_there_for_the_compile_only(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    locks = []

    def pip_install(build: Path, lock: Path, option: str, target: str, **others: object) -> None:
        locks.append(lock.read_text())
        text = f'echo "$ZIG_GLOBAL_CACHE_DIR $ZIG_LOCAL_CACHE_DIR $@" > {said}; {OUTPUT}; echo made > "$2"'
        command(Path(target) / "ziglang/zig", text)

    monkeypatch.setattr(setup, "pip_install", pip_install)
    monkeypatch.setattr(setup.platform, "libc_ver", lambda: ("glibc", "2.41"))
    monkeypatch.setattr(setup.platform, "machine", lambda: "aarch64")
    write_sources(checkout, a_c="one")
    compile_again(monkeypatch)
    assert libraries(build) == [digest_name("one")]
    (lock,) = locks
    assert lock.startswith("ziglang==")
    assert "--hash=sha256:" in lock
    assert lock.count("==") == 1
    global_cache, local_cache, *arguments = said.read_text().split()
    assert Path(global_cache).is_relative_to(build)
    assert Path(local_cache).is_relative_to(build)
    assert arguments[:4] == ["cc", "-target", "aarch64-linux-gnu.2.17", "-mcpu=baseline"]


def test_without_glibc_the_compiler_finds_the_system_but_takes_no_fancy_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(setup.platform, "libc_ver", lambda: ("", ""))
    assert setup.zig_target() == ["-mcpu=baseline"]


def test_what_amazon_kclpy_is_built_with_does_not_include_the_compiler(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = []

    def pip_install(build: Path, lock: Path, option: str, target: str, **others: object) -> None:
        locks.append(lock.read_text())
        Path(target).mkdir()

    monkeypatch.setattr(setup, "pip_install", pip_install)
    with setup.build_tools(build, build / "log", setup.Progress()):
        pass
    (lock,) = locks
    assert "\nsetuptools==" in lock
    assert "ziglang" not in lock


def test_libraries_of_former_sources_stay_for_a_while(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = command(checkout / "cc", f'{OUTPUT}; echo made > "$2"')
    for number in range(7):
        write_sources(checkout, a_c=str(number))
        compile_again(monkeypatch, compiler)
        os.utime(build / "lib" / digest_name(str(number)), (number, number))
    assert libraries(build) == sorted(digest_name(str(number)) for number in (2, 3, 4, 5, 6))


def test_the_current_build_is_not_left_for_another_that_would_do(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(monkeypatch, "first", "runtime")
    current = (checkout / ".venv").resolve()
    for name in ("a", "z"):  # a folder is listed in an order of its own
        other = checkout / ".venvs" / name
        other.mkdir()
        fake_install(other, "dev", None)
        (other / "setup.stamp").write_text(setup.stamp_text("first", "dev"))
    set_up(monkeypatch, "first", "runtime", install=failing_install)
    assert (checkout / ".venv").resolve() == current


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler on this machine")
def test_a_real_compiler_makes_a_library_that_shows_what_it_should(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = '__attribute__((visibility("default")))'
    write_sources(
        checkout,
        a_h="int twice(int number);\n",
        a_c=f'#include "a.h"\n{shown} int shown(int number) {{ return twice(number); }}\n',
        b_c='#include "a.h"\nint twice(int number) { return 2 * number; }\n',
    )
    compile_again(monkeypatch, "cc")
    library = ctypes.CDLL(str(setup.native_library(build)))
    assert library.shown(21) == 42
    assert not hasattr(library, "twice")


@pytest.fixture
def finished(checkout: Path) -> Path:
    """A checkout whose environment is up to date by its stamp; its Python tells what it is to run."""
    for pattern in ("bin/setup", "bin/_setup.py", "requirements*"):
        for path in ROOT.glob(pattern):
            copy = checkout / path.relative_to(ROOT)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(path, copy)
    names = [
        "bin/setup",
        "bin/_setup.py",
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-build.txt",
    ]
    names.append("requirements-jars.sha256")
    key = hashlib.sha256(b"".join((checkout / name).read_bytes() for name in names)).hexdigest()
    command(checkout / ".venv/bin/python", '[ "$1" != -V ] || { echo Python 3.13.0; exit; }\necho "$@"')
    (checkout / ".venv/lib").mkdir()
    (checkout / ".venv/setup.stamp").write_text(f"{key} Python 3.13.0 dev {checkout}\n")
    return checkout


def shell_half(checkout: Path, tools: Path) -> str:
    """What bin/setup hands over to bin/_setup.py, if anything. There is no Python but the environment's."""
    done = subprocess.run(
        [checkout / "bin/setup"], env={"PATH": str(tools)}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_the_shell_finds_the_library_by_the_name_that_python_gives_it(finished: Path, tools: Path) -> None:
    assert shell_half(finished, tools) == ""
    # Languages differ about the order of these.
    for name in ("b.c", "B.h", "a-b.c", "a_b.h", "ab.c", "Ab.c", "a b.c", "é.h", ".ab.c", "ab.cc", "ab.c~"):
        write_sources(finished)
        (finished / "consumer/native" / name).write_text(f"this is {name}\n")
    library = setup.native_library(finished / ".venv")
    assert "bin/_setup.py --key" in shell_half(finished, tools)
    library.touch()
    assert shell_half(finished, tools) == ""
    (finished / "consumer/native/B.h").write_text("changed")
    assert "bin/_setup.py --key" in shell_half(finished, tools)


def test_the_shell_passes_over_headers_without_a_source(finished: Path, tools: Path) -> None:
    write_sources(finished, only_h="a header")
    assert setup.native_library(finished / ".venv") is None
    assert shell_half(finished, tools) == ""
