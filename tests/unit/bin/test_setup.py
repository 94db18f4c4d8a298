"""bin/setup without a network: how it finds Python and the package index, switches between environments, compiles."""

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import training
from consumer.native import library, sources

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
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of this project's, with bin/setup in it and no environment."""
    folder = tmp_path / "checkout"
    for name in ("bin", "requirements", "consumer/native"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "bin/setup", folder / "bin")
    (folder / "consumer/native/a.c").write_text("one")
    for module in (setup, training):
        monkeypatch.setattr(module, "ROOT", folder)
    monkeypatch.setattr(sources, "SOURCES", folder / "consumer/native")
    monkeypatch.delenv("CC", raising=False)
    return folder


def command(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# How it finds Python


@pytest.fixture
def find_python(checkout: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs bin/setup --find-python where the PATH has what it calls, no Python, and the given folders."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name, path=PATH)))

    def find(*folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", checkout / "bin/setup", "--find-python"],
            env={"PATH": ":".join(map(str, [tools, *folders])), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return find


def python(path: Path, version: str = "3.13") -> Path:
    """Something that runs as this Python when it is asked what it is."""
    return command(path, f'case $2 in *"{version}"*) exit 0 ;; *) exit 1 ;; esac')


type Find = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("name", ["python3.13", "python3"])
def test_python_is_taken_from_the_path(find_python: Find, tmp_path: Path, name: str) -> None:
    found = python(tmp_path / "a b" / name)
    assert find_python(found.parent).stdout == f"{found}\n"


def test_a_shim_that_fails_is_passed_over(find_python: Find, tmp_path: Path) -> None:
    shim = command(tmp_path / "shims/python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    found = python(tmp_path / "good/python3.13")
    done = find_python(shim.parent, found.parent)
    assert (done.stdout, done.stderr) == (f"{found}\n", "")


def test_the_python_of_the_environment_comes_first(find_python: Find, tmp_path: Path, checkout: Path) -> None:
    found = python(checkout / ".venv/bin/python3.13")
    assert find_python(python(tmp_path / "other/python3.13").parent).stdout == f"{found}\n"


@pytest.mark.parametrize(("variable", "folder"), [("PYENV_ROOT", "pyenv"), ("HOME", "home/.pyenv")])
def test_python_is_taken_from_pyenv(find_python: Find, tmp_path: Path, variable: str, folder: str) -> None:
    found = python(tmp_path / folder / "versions/3.13.7/bin/python3.13")
    root = tmp_path / folder.removesuffix("/.pyenv")
    assert find_python(**{variable: str(root)}).stdout == f"{found}\n"


def test_the_variable_wins_over_the_path(find_python: Find, tmp_path: Path) -> None:
    first, second = python(tmp_path / "first/python3.13"), python(tmp_path / "second/own name")
    assert find_python(first.parent, PYTHON=str(second)).stdout == f"{second}\n"


def test_python_3_14_is_taken_only_where_it_is_the_only_one(find_python: Find, tmp_path: Path) -> None:
    newer, tested = python(tmp_path / "newer/python3", "3.14"), python(tmp_path / "tested/python3.13")
    assert find_python(newer.parent).stdout == f"{newer}\n"
    assert find_python(newer.parent, tested.parent).stdout == f"{tested}\n"


def test_without_python_the_error_says_what_to_do(find_python: Find, tmp_path: Path) -> None:
    found = find_python(python(tmp_path / "old/python3", "3.11").parent)
    assert (found.returncode, found.stdout) == (1, "")
    assert "Python 3.13 was not found. Install it" in found.stderr
    assert "apt-get install python3.13-venv" in found.stderr


def test_a_variable_that_names_something_else_is_named(find_python: Find, tmp_path: Path) -> None:
    found = find_python(python(tmp_path / "good/python3.13").parent, PYTHON="/no/such/python")
    assert found.returncode == 1
    assert "PYTHON=/no/such/python" in found.stderr


# The commands it runs


def test_nothing_is_done_when_the_environment_is_up_to_date() -> None:
    done = subprocess.run(
        [ROOT / "bin/setup"], env={"PATH": PATH}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--now", 2)])
def test_help_is_shown_to_who_asks_and_to_who_errs(argument: str, code: int) -> None:
    done = subprocess.run([ROOT / "bin/setup", argument], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "bin/setup --runtime" in done.stdout


def test_settings_that_send_packages_elsewhere_are_dropped_and_standard_output_is_kept(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    setup.run("/bin/sh", "-c", 'echo "$PIP_TARGET$PYTHONPATH$OTHER"', OTHER="kept")
    assert capfd.readouterr() == ("", "kept\n")


VARIABLES = (*setup.INDEX.values(), "UV_SYSTEM_CERTS")


@pytest.fixture
def pip_config(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets what pip says about its configuration; no variable of uv is set."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back at the end
        monkeypatch.delenv(name)
    monkeypatch.setattr(setup, "run", lambda *command, **environment: None)

    def says(text: str) -> None:
        monkeypatch.setattr(setup.subprocess, "check_output", lambda *_, **__: text)

    return says


def test_uv_asks_the_package_index_that_pip_is_told_of(
    pip_config: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_config(
        ":env:.index-url='https://index.example/simple'\n"
        ":env:.timeout='5'\n"
        "global.extra-index-url='\\nhttps://one.example\\nhttps://two.example'\n"
        "global.find-links='/wheels /more'\n"
        "global.index-url='https://passed-over.example'\n"
        "global.trusted-host='index.example'\n"
    )
    monkeypatch.setenv("UV_INSECURE_HOST", "own.example")
    assert setup.fetch_uv(tmp_path) == tmp_path / "uv/bin/uv"
    assert {name: os.environ[name] for name in VARIABLES if name in os.environ} == {
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "UV_INDEX": "https://one.example https://two.example",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "own.example",
        "UV_SYSTEM_CERTS": "true",
    }


@pytest.fixture
def installed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces what would be installed by two jars, and lists the commands."""
    commands: list[str] = []

    def install(scratch: Path, name: str, *arguments: str | Path) -> None:
        folder = checkout / "build/lib/python3.13/site-packages/amazon_kclpy/jars"
        folder.mkdir(parents=True)
        for name in ("a-1.jar", "b-2.jar"):
            (folder / name).write_text(name)

    monkeypatch.setattr(setup, "install", install)
    monkeypatch.setattr(setup, "fetch_uv", lambda scratch: "uv")
    monkeypatch.setattr(setup, "run", lambda *command, **_: commands.append(" ".join(map(str, command))))
    return commands


def jar_line(name: str) -> str:
    return f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n"


def test_jars_that_are_those_of_the_list_pass(checkout: Path, installed: list[str]) -> None:
    (checkout / "requirements/jars.sha256").write_text(jar_line("a-1.jar") + jar_line("b-2.jar"))
    setup.make(checkout / "build", "runtime", checkout)
    assert not any("cache clean" in command for command in installed)


@pytest.mark.parametrize(
    ("listed", "named"),
    [
        (jar_line("a-1.jar"), ["b-2.jar"]),
        (jar_line("a-1.jar") + jar_line("b-2.jar") + jar_line("c-3.jar"), ["c-3.jar"]),
        (f"{'0' * 64}  a-1.jar\n" + jar_line("b-2.jar"), ["a-1.jar", "a-1.jar"]),
    ],
    ids=["extra", "missing", "changed"],
)
def test_other_jars_end_the_set_up_and_are_not_kept_in_the_cache(
    checkout: Path, installed: list[str], listed: str, named: list[str]
) -> None:
    (checkout / "requirements/jars.sha256").write_text(listed)
    with pytest.raises(SystemExit) as ended:
        setup.make(checkout / "build", "runtime", checkout)
    assert [line.split()[1] for line in str(ended.value).splitlines()[1:]] == named
    assert installed[-1] == "uv --quiet cache clean amazon-kclpy"


def test_the_jars_of_this_environment_are_those_of_the_list() -> None:
    jars = Path(sys.prefix).glob("lib/python3.*/site-packages/amazon_kclpy/jars/*.jar")
    found = {f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}" for jar in jars}
    assert found == set((ROOT / "requirements/jars.sha256").read_text().splitlines())


@pytest.mark.parametrize(("version", "says"), [((3, 13), False), ((3, 14), True)])
def test_it_says_that_python_3_14_is_untested(
    checkout: Path,
    installed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: tuple[int, int],
    says: bool,
) -> None:
    (checkout / "requirements/jars.sha256").write_text(jar_line("a-1.jar") + jar_line("b-2.jar"))
    python = SimpleNamespace(
        version_info=(*version, 0), version="3.x.0 (main)", executable="python", stderr=sys.stderr
    )
    monkeypatch.setattr(setup, "sys", python)
    setup.make(checkout / "build", "runtime", checkout)
    assert ("installing for Python 3.x.0, which is untested" in capsys.readouterr().err) == says


IMPORTED = ("bin/_setup.py", "consumer/native/sources.py", "training/__init__.py")
"""All of the project that bin/setup is made of."""


def test_an_early_stage_of_the_image_has_all_of_bin_setup() -> None:
    early, _, _ = (ROOT / "Dockerfile").read_text().partition("\nRUN bin/setup")
    copied = {name for line in early.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert copied >= {"bin/setup", *IMPORTED}
    assert "training/__main__.py" not in copied, "nothing is trained there"


def test_a_set_up_that_takes_long_says_that_it_goes_on(checkout: Path) -> None:
    for name in IMPORTED:
        (checkout / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    (checkout / ".venvs").mkdir()
    with (checkout / ".venvs/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another set-up holds it
        waiting = subprocess.Popen(
            [sys.executable, "-I", "-B", checkout / "bin/_setup.py"], stderr=subprocess.PIPE, text=True
        )
        assert waiting.stderr is not None
        try:
            said = [waiting.stderr.readline() for _ in range(2)]
        finally:
            waiting.kill()
            waiting.communicate()
    assert said == ["setup: 3 s\n", "setup: 6 s\n"]


# Environments


def fake_make(build: Path, kind: str, scratch: Path) -> None:
    (build / "lib").mkdir(parents=True)
    command(build / "bin/python", "exit 0")


def failing_make(build: Path, kind: str, scratch: Path) -> None:
    (build / "half").mkdir(parents=True)
    raise OSError("no network")


def fake_compile(library: Path, scratch: Path, *, zig: Path) -> None:
    library.touch()


def set_up(
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    kind: str = "dev",
    make: object = fake_make,
) -> Path:
    """What bin/setup does in the checkout with these requirements; returns the environment."""
    monkeypatch.setattr(setup, "make", make)
    monkeypatch.setattr(setup, "compile_library", fake_compile)
    monkeypatch.setattr(setup, "own_compiler", lambda: ["cc"])
    (setup.ROOT / "requirements/runtime.txt").write_text(version)
    setup.set_up(kind)
    return environment()


def environment() -> Path:
    link: Path = setup.ROOT / ".venv"
    return link.resolve(strict=True)


def builds(checkout: Path) -> int:
    return len(list((checkout / ".venvs").glob("*/")))


def test_a_complete_folder_becomes_the_environment(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = set_up(monkeypatch, "first")
    assert built.parent == checkout / ".venvs"
    assert (checkout / ".venv").is_symlink()
    monkeypatch.setattr(sys, "prefix", str(built))
    assert library.path().exists()


def test_a_failed_set_up_leaves_the_environment_as_it_was(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = set_up(monkeypatch, "first")
    with pytest.raises(OSError, match="no network"):
        set_up(monkeypatch, "second", make=failing_make)
    assert environment() == first
    second = set_up(monkeypatch, "second")
    assert not (second / "half").exists()
    assert {first, second} == set((checkout / ".venvs").glob("*/"))


def test_an_environment_made_by_hand_is_not_deleted(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        set_up(monkeypatch, "first")
    assert (checkout / ".venv/bin").exists()


def test_going_back_to_the_former_environment_installs_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = set_up(monkeypatch, "first")
    assert set_up(monkeypatch, "second") != first
    assert set_up(monkeypatch, "first", make=failing_make) == first


def test_only_the_environment_and_the_one_before_it_are_kept(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("first", "second", "third"):
        set_up(monkeypatch, version)
    assert builds(checkout) == 2


def test_a_development_environment_serves_the_daemon(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = set_up(monkeypatch, "first", "dev")
    assert set_up(monkeypatch, "first", "runtime", make=failing_make) == first


def test_an_update_keeps_a_developers_tools(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, "first", "dev")
    assert set_up(monkeypatch, "second", "runtime").name.startswith("dev-")


def test_a_checkout_that_was_moved_gets_an_environment_of_its_own(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = set_up(monkeypatch, "first")
    moved = checkout.rename(checkout.with_name("moved"))
    monkeypatch.setattr(setup, "ROOT", moved)
    assert set_up(monkeypatch, "first").name != first.name


# The AOT cache


def test_the_jvm_is_trained_once_for_each_way_to_do_so(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Path] = []

    def train(build: Path, scratch: Path) -> None:
        assert environment() == build, "it runs in the environment"
        trained.append(build)

    monkeypatch.setattr(setup, "train", train)
    set_up(monkeypatch, "first")
    assert trained == [], "there is nothing to train with yet, as in a stage of the image"
    (checkout / "training").mkdir()
    (checkout / "training/__main__.py").write_text("one")
    first = set_up(monkeypatch, "first", make=failing_make)
    set_up(monkeypatch, "first", make=failing_make)
    assert trained == [first]
    (checkout / "training/__main__.py").write_text("two")
    set_up(monkeypatch, "first", make=failing_make)
    assert trained == [first, first]
    assert set_up(monkeypatch, "second") == trained[2] != first


def test_what_the_jvm_is_trained_by_is_there() -> None:
    assert {pattern for pattern in training.INPUTS if not list(ROOT.glob(pattern))} == set()


@pytest.mark.parametrize(
    "changed",
    [
        "training/__main__.py",
        "training/aws.py",
        "consumer/settings/jvm.py",
        "consumer/daemon/supervise/java.py",
        "consumer/daemon/supervise/aot_cache.py",
    ],
)
def test_the_jvm_is_trained_anew_when_what_it_is_trained_by_changes(checkout: Path, changed: str) -> None:
    for name in (training.PROGRAM, changed):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("one")
    first = training.mark()
    assert training.mark() == first
    (checkout / changed).write_text("two")
    assert training.mark() != first


@pytest.mark.parametrize(("kind", "fetches"), [("runtime", True), ("dev", False)])
def test_a_developers_environment_has_what_training_needs(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, fetches: bool
) -> None:
    fetched: list[str] = []
    runs: list[str] = []
    monkeypatch.setattr(setup, "install", lambda scratch, name, *_: fetched.append(name))
    monkeypatch.setattr(setup, "run", lambda *words, **environment: runs.append(environment["PYTHONPATH"]))
    setup.train(checkout / f".venvs/{kind}-1", tmp_path)
    assert fetched == ["training.txt"] * fetches
    assert runs == [f"{checkout}:{tmp_path}/training"]


@pytest.mark.parametrize("fails", ["install", "run"])
def test_an_environment_serves_without_an_aot_cache_and_is_not_trained_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, "uv")

    monkeypatch.setattr(setup, "install", lambda *_: None)
    monkeypatch.setattr(setup, "run", lambda *_, **__: None)
    monkeypatch.setattr(setup, fails, fail)
    (checkout / "training").mkdir()
    (checkout / "training/__main__.py").touch()
    built = set_up(monkeypatch, "first", "runtime")
    assert "no AOT cache for the JVM" in capsys.readouterr().err
    monkeypatch.setattr(setup, "train", fail)
    assert set_up(monkeypatch, "first", "runtime") == built


# Interrupted, and two at once

DRIVER = """
import fcntl, importlib.util, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("setup", sys.argv[1])
setup = importlib.util.module_from_spec(spec)
spec.loader.exec_module(setup)
setup.ROOT = setup.training.ROOT = root = Path(sys.argv[2])
flock = fcntl.flock

def locks(*arguments):
    print("locks", flush=True)
    flock(*arguments)

def make(build, kind, scratch):
    (build / "lib").mkdir(parents=True)
    script = 'echo "$2" >> "$0/begun"; read line < "$0/$2"; echo "$2" > "$1/made"'
    setup.run("/bin/sh", "-c", script, root, build, sys.argv[3])

fcntl.flock = locks
setup.make = make
setup.own_compiler = lambda: ["cc"]
setup.compile_library = lambda library, scratch, zig: library.touch()
setup.set_up("dev")
"""
"""bin/_setup.py where making an environment is a command that waits at a gate, which is a named pipe."""

type Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(checkout: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(gate: str) -> subprocess.Popen[str]:
        """Starts a set-up and returns when it is about to take the lock."""
        os.mkfifo(checkout / gate)
        arguments = [sys.executable, "-c", DRIVER, str(ROOT / "bin/_setup.py"), str(checkout), gate]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "locks\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_of_two_at_once_one_waits_and_finds_all_done(checkout: Path, start: Start) -> None:
    first = start("first")
    with (checkout / "first").open("w") as gate:  # opens once the first has got there
        second = start("second")
        print(file=gate)
    assert (first.wait(30), second.wait(30)) == (0, 0)
    assert (checkout / "begun").read_text() == "first\n"
    assert (environment() / "made").read_text() == "first\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_one_is_made_anew_when_nothing_of_it_runs_any_more(
    checkout: Path, start: Start, number: signal.Signals
) -> None:
    first = start("first")
    with (checkout / "first").open("w") as gate:
        first.send_signal(number)
        assert first.wait(30) != 0
        assert not (checkout / ".venv").exists()
        second = start("second")
        if number != signal.SIGINT:  # at which Python ends its command; else that runs on, with the lock
            assert (checkout / "begun").read_text() == "first\n"
            print(file=gate)
    with (checkout / "second").open("w") as gate:
        print(file=gate)
    assert second.wait(30) == 0
    assert (checkout / "begun").read_text() == "first\nsecond\n"
    assert (environment() / "made").read_text() == "second\n"


# The C library

OUTPUT = 'while [ "$1" != -o ]; do shift; done'
"""The beginning of a stand-in for a compiler: afterwards $2 is what it has to write."""


def write_sources(checkout: Path, **contents: str) -> None:
    for name, content in contents.items():
        file = re.sub("^_|_(?=[ch]$)", ".", name)
        (checkout / "consumer/native" / file).write_text(content)


@pytest.fixture
def build(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present environment, which lacks the library of the present sources."""
    built = set_up(monkeypatch, "first")
    (built / "lib" / sources.library_name()).unlink()
    monkeypatch.setattr(setup, "compile_library", sources.compile_library)
    monkeypatch.setattr(setup, "own_compiler", sources.own_compiler)
    monkeypatch.setattr(setup, "make", failing_make)
    return built


@pytest.mark.parametrize("options", ["OPTIONS", "ZIG_OPTIONS"])
def test_a_library_that_is_compiled_in_another_way_has_another_name(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    first = sources.library_name()
    monkeypatch.setattr(sources, options, "-O0")
    assert sources.library_name() != first


def libraries(build: Path) -> list[str]:
    assert builds(build.parents[1]) == 1, "a compile left its folder behind"
    return sorted(path.name for path in (build / "lib").iterdir())


def digest_name(*contents: str) -> str:
    how = f"{sources.OPTIONS} {sources.ZIG_OPTIONS}"
    return f"consumer-native-{hashlib.sha256('\0'.join([how, *contents]).encode()).hexdigest()[:16]}.so"


def test_changed_c_sources_are_compiled_into_the_environment_that_is_there(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_sources(checkout, b_c="two", c_h="three")
    said = tmp_path / "said"
    compiler = command(tmp_path / "a b/cc", f'echo "$@" > {said}\n{OUTPUT}\necho made > "$2"')
    monkeypatch.setenv("CC", f"{shlex.quote(str(compiler))} -m64")
    setup.set_up("dev")
    assert libraries(build) == [digest_name("one", "two", "three")]
    arguments = said.read_text().split()
    assert arguments[:-4] == ["-m64", *sources.OPTIONS.split()]
    assert [Path(one).name for one in arguments[-2:]] == ["a.c", "b.c"]
    monkeypatch.setenv("CC", "/no/such/compiler")
    setup.set_up("dev")  # there is nothing left to do


def test_what_an_editor_hides_beside_the_sources_is_none_of_them(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_sources(checkout, _left_c="two", _left_h="three")
    said = tmp_path / "said"
    monkeypatch.setenv("CC", str(command(tmp_path / "cc", f'echo "$@" > {said}; {OUTPUT}; echo made > "$2"')))
    setup.set_up("dev")
    assert libraries(build) == [digest_name("one")]
    assert ".left.c" not in said.read_text()


def test_the_compiler_holds_the_lock(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    script = f'for one in /proc/$$/fd/*; do readlink "$one"; done > {said}; {OUTPUT}; echo made > "$2"'
    monkeypatch.setenv("CC", str(command(tmp_path / "cc", script)))
    setup.set_up("dev")
    assert str(checkout / ".venvs/lock") in said.read_text().splitlines()


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (f'{OUTPUT}; echo half > "$2"; exit 1', subprocess.CalledProcessError),
        (
            f'{OUTPUT}; echo made > "$2"; echo more >> "$(dirname "$0")/consumer/native/a.c"',
            sources.SourcesChanged,
        ),
    ],
    ids=["fails", "sources change"],
)
def test_a_failed_compile_leaves_no_library(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch, script: str, error: type[BaseException]
) -> None:
    monkeypatch.setenv("CC", str(command(checkout / "cc", script)))
    with pytest.raises(error):
        setup.set_up("dev")
    assert libraries(build) == []
    assert environment() == build


@pytest.mark.parametrize(
    ("compiler", "error"), [("/no/such/compiler", FileNotFoundError), ("cc 'unbalanced", ValueError)]
)
def test_a_compiler_that_is_none_is_an_error(
    build: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, error: type[Exception]
) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(error):
        setup.set_up("dev")
    assert libraries(build) == []


def test_without_cc_the_locked_compiler_is_there_for_the_compile_only(
    build: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = tmp_path / "said"

    def install(scratch: Path, name: str, *arguments: str | Path) -> None:
        assert name == "compiler.txt"
        assert arguments[:2] == ("--no-cache", "--target")
        text = f'echo "$XDG_CACHE_HOME $@" > {said}; {OUTPUT}; echo made > "$2"'
        command(Path(arguments[2]) / "ziglang/zig", text)

    monkeypatch.setattr(setup, "install", install)
    setup.set_up("dev")
    assert libraries(build) == [digest_name("one")]
    cache, *arguments = said.read_text().split()
    assert Path(cache).parent == build.parent
    target = f"{os.uname().machine}-linux-gnu.2.17"
    assert arguments[:5] == ["cc", "-target", target, "-mcpu=baseline", "-fno-sanitize=undefined"]


def test_libraries_of_former_sources_stay(
    checkout: Path, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", str(command(checkout / "cc", f'{OUTPUT}; echo made > "$2"')))
    for content in ("1", "2"):
        write_sources(checkout, a_c=content)
        setup.set_up("dev")
    assert libraries(build) == sorted([digest_name("1"), digest_name("2")])


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
    monkeypatch.setenv("CC", "cc")
    setup.set_up("dev")
    made = ctypes.CDLL(str(build / "lib" / sources.library_name()))
    assert made.shown(21) == 42
    assert not hasattr(made, "twice")
