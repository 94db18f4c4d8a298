"""The other half of bin/setup: fills a folder of `.venvs`, and makes `.venv` a link to it once that is complete.
However it ends, `.venv` works, and the environment before it stays for what still runs from there."""

import fcntl
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import training
from consumer.native.sources import SourcesChanged, compile_library, library_name, own_compiler

ROOT = Path(__file__).resolve().parents[1]
# How uv calls what pip is told about the package index of this machine.
INDEX = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
INDEX |= {"no-index": "UV_NO_INDEX", "trusted-host": "UV_INSECURE_HOST", "cert": "SSL_CERT_FILE"}


def run(*command: str | Path, **environment: str) -> None:
    """Standard output is left to who called bin/setup. A command inherits the lock, and may outlive this process."""
    env = os.environ | {"PYTHONPATH": "", "PIP_USER": "0", "PIP_TARGET": "", "PIP_PREFIX": ""} | environment
    subprocess.run([*map(str, command)], check=True, stdout=2, close_fds=False, env=env)


@functools.cache
def fetch_uv(scratch: Path) -> Path:
    """Has pip install the locked uv, and tells uv of pip's package index."""
    pip = (scratch / "uv/bin/python", "-m", "pip", "--disable-pip-version-check")
    run(sys.executable, "-I", "-m", "venv", scratch / "uv")
    run(*pip, "install", "-q", "--require-hashes", "--only-binary=:all:", "-r", ROOT / "requirements/uv.txt")
    for line in subprocess.check_output([*pip, "config", "list"], text=True).splitlines():
        name, _, value = line.partition("=")  # the environment's come first
        if variable := INDEX.get(name.rpartition(".")[2]):
            words = value.strip("'").replace("\\n", " ").split()
            os.environ.setdefault(variable, ("," if variable == "UV_FIND_LINKS" else " ").join(words))
    os.environ.setdefault("UV_SYSTEM_CERTS", "true")  # as pip does
    return scratch / "uv/bin/uv"


def install(scratch: Path, name: str, *arguments: str | Path) -> None:
    """Nothing without a hash, and nothing is built but amazon_kclpy, with what build.txt has."""
    rules = "-q --require-hashes --no-deps --only-binary=:all: --no-binary=amazon-kclpy"
    files = ("--build-constraints", ROOT / "requirements/build.txt", "-r", ROOT / f"requirements/{name}")
    run(fetch_uv(scratch), "pip", "install", *rules.split(), *files, *arguments)


def make(build: Path, kind: str, scratch: Path) -> None:
    """All of an environment but the C library."""
    untested = "" if sys.version_info[:2] == (3, 13) else ", which is untested: there is no Python 3.13"
    print(f"setup: 1 to 4 minutes: installing for Python {sys.version.split()[0]}{untested}", file=sys.stderr)
    run(sys.executable, "-I", "-m", "venv", "--without-pip", "--prompt", "consumer", build)
    install(scratch, f"{kind}.txt", "--compile-bytecode", "--python", build)
    jars = build.glob("lib/python3.*/site-packages/amazon_kclpy/jars/*.jar")  # its build has downloaded them
    found = {f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}" for jar in jars}
    if wrong := found ^ set((ROOT / "requirements/jars.sha256").read_text().splitlines()):
        run(fetch_uv(scratch), "--quiet", "cache", "clean", "amazon-kclpy")
        sys.exit("\n  ".join(["bin/setup: not as in requirements/jars.sha256:", *sorted(wrong)]))
    if kind == "dev":
        run(build / "bin/python", "-I", ROOT / "consumer/local/bigquery/extensions.py")
        where = ("--python", build, "--target", build / "share/readers")
        install(scratch, "readers.txt", "--compile-bytecode", *where)


def train(build: Path, scratch: Path) -> None:
    """Makes the AOT cache with which the JVM starts warm; training/ says so where it cannot, and nothing needs it."""
    try:
        if not build.name.startswith("dev-"):  # which has these
            install(scratch, "training.txt", "--python", build, "--target", scratch / "training")
        run(ROOT / ".venv/bin/python", "-P", "-m", "training", PYTHONPATH=f"{ROOT}:{scratch}/training")
    except subprocess.CalledProcessError as error:
        print(f"setup: no AOT cache for the JVM, which starts slower without it: {error}", file=sys.stderr)


def set_up(kind: str) -> None:
    builds, link = ROOT / ".venvs", ROOT / ".venv"
    kind = "dev" if link.resolve().name.startswith("dev-") else kind  # a developer's tools stay
    files = (path.read_bytes() for path in sorted([*ROOT.glob("bin/*setup*"), *ROOT.glob("requirements/*")]))
    made_for = f"{ROOT} {Path(sys.executable).resolve()} {sys.version}"
    key = hashlib.sha256(b"\0".join([made_for.encode(), *files])).hexdigest()[:16]
    build = builds / f"{kind}-{key}"
    finished, library = build / "setup.finished", build / "lib" / library_name()
    warm = build / (training.mark() or finished.name)  # an early stage of the image has no training
    if link.resolve() == build and all(mark.exists() for mark in (finished, library, warm)):
        return
    builds.mkdir(exist_ok=True)
    with (builds / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with tempfile.TemporaryDirectory(dir=builds) as name:
            scratch = Path(name)
            if not finished.exists():
                for left in {*builds.glob("*/")} - {link.resolve(), scratch}:
                    shutil.rmtree(left)
                make(build, kind, scratch)
                finished.touch()
            if not library.exists():
                print("setup: half a minute or more: compiling consumer/native", file=sys.stderr)
                if not own_compiler():
                    install(scratch, "compiler.txt", "--no-cache", "--target", scratch / "zig")
                compile_library(library, scratch, zig=scratch / "zig/ziglang/zig")
            (fresh := scratch / "link").symlink_to(build.relative_to(ROOT))
            fresh.replace(link)
            if not warm.exists():
                train(build, scratch)
                warm.touch()


if __name__ == "__main__":
    os.umask(0o022)  # the daemon's user reads what root installs
    begun = os.times().elapsed
    signal.signal(signal.SIGALRM, lambda *_: os.write(2, b"setup: %d s\n" % (os.times().elapsed - begun)))
    signal.setitimer(signal.ITIMER_REAL, 3, 3)
    try:
        set_up("runtime" if "--runtime" in sys.argv else "dev")
    except (KeyboardInterrupt, OSError, ValueError, subprocess.SubprocessError, SourcesChanged) as error:
        sys.exit(f"bin/setup: {str(error) or 'interrupted'}")
