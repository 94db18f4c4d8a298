"""The other half of bin/setup: fills a folder of `.venvs`, and makes `.venv` a link to it once that is complete.
However it ends, `.venv` works, and the environment before it stays for what still runs from there."""

import fcntl
import functools
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILE = "-std=c11 -O3 -fPIC -shared -Wall -Wextra -Werror -g0 -fvisibility=hidden"
# Left to itself zig compiles for this very processor and glibc, and undefined behaviour ends the process.
ZIG = "cc -target {}-linux-gnu.2.17 -mcpu=baseline -fno-sanitize=undefined"
EXTENSIONS = "from duckdb_extensions import import_extension as i; i('icu'), i('ducklake'), i('spatial')"
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


def install(scratch: Path, *arguments: str | Path) -> None:
    """Nothing without a hash, and nothing is built but amazon_kclpy, with what build.txt has."""
    rules = "-q --require-hashes --no-deps --only-binary=:all: --no-binary=amazon-kclpy --build-constraints"
    run(fetch_uv(scratch), "pip", "install", *rules.split(), ROOT / "requirements/build.txt", *arguments)


def make(build: Path, kind: str, scratch: Path) -> None:
    """All of an environment but the C library."""
    untested = "" if sys.version_info[:2] == (3, 13) else ", which is untested: there is no Python 3.13"
    print(f"setup: 1 to 4 minutes: installing for Python {sys.version.split()[0]}{untested}", file=sys.stderr)
    run(sys.executable, "-I", "-m", "venv", "--without-pip", "--prompt", "consumer", build)
    install(scratch, "--compile-bytecode", "--python", build, "-r", ROOT / f"requirements/{kind}.txt")
    jars = build.glob("lib/python3.*/site-packages/amazon_kclpy/jars/*.jar")  # its build has downloaded them
    found = {f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}" for jar in jars}
    if wrong := found ^ set((ROOT / "requirements/jars.sha256").read_text().splitlines()):
        run(fetch_uv(scratch), "--quiet", "cache", "clean", "amazon-kclpy")
        sys.exit("\n  ".join(["bin/setup: not as in requirements/jars.sha256:", *sorted(wrong)]))
    if kind == "dev":  # consumer/local/bigquery looks for them there
        (home := build / "share/duckdb-home").mkdir(parents=True)
        run(build / "bin/python", "-c", EXTENSIONS, HOME=str(home))
        readers = ("--target", build / "share/readers", "-r", ROOT / "requirements/readers.txt")
        install(scratch, "--compile-bytecode", "--python", build, *readers)


def native_library(build: Path) -> Path:
    """Where the library of the present C sources belongs; consumer/native looks for the same name."""
    sources = sorted((ROOT / "consumer/native").glob("[!.]*.[ch]"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return build / "lib" / f"consumer-native-{digest[:16]}.so"


def compile_native(library: Path, scratch: Path) -> None:
    print("setup: half a minute or more: compiling consumer/native", file=sys.stderr)
    if not (compiler := shlex.split(os.environ.get("CC", ""))):
        install(scratch, "--no-cache", "--target", scratch / "zig", "-r", ROOT / "requirements/compiler.txt")
        compiler = [f"{scratch}/zig/ziglang/zig", *ZIG.format(os.uname().machine).split()]
    sources = sorted((ROOT / "consumer/native").glob("[!.]*.c"))
    run(*compiler, *COMPILE.split(), "-o", scratch / "library", *sources, XDG_CACHE_HOME=str(scratch))
    if native_library(library.parents[1]) != library:
        sys.exit("bin/setup: the C sources changed while they were compiled: run it again")
    (scratch / "library").replace(library)


def trained(build: Path) -> Path:
    """Says that the AOT cache was made, or could not be, in the way that these files have."""
    rest = (
        "consumer/settings/jvm.py",
        "consumer/daemon/supervise/java.py",
        "consumer/daemon/supervise/aot_cache.py",
    )
    files = sorted([*ROOT.glob("training/*.py"), *(ROOT / name for name in rest)])
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files if path.exists())).hexdigest()
    return build / f"trained-{digest[:16]}"


def train(build: Path, scratch: Path) -> None:
    """Makes the AOT cache with which the JVM starts warm; training/ says so where it cannot, and nothing needs it."""
    print("setup: for a minute: the KCL on prepared records, so that it starts warm", file=sys.stderr)
    try:
        if not build.name.startswith("dev-"):
            where = ("--python", build, "--target", scratch / "training")
            install(scratch, *where, "-r", ROOT / "requirements/training.txt")
        run(ROOT / ".venv/bin/python", "-P", "-m", "training", PYTHONPATH=f"{ROOT}:{scratch}/training")
    except subprocess.CalledProcessError as error:
        print(f"setup: no AOT cache for the JVM, which starts slower without it: {error}", file=sys.stderr)
    trained(build).touch()


def set_up(kind: str) -> None:
    builds, link = ROOT / ".venvs", ROOT / ".venv"
    kind = "dev" if link.resolve().name.startswith("dev-") else kind  # a developer's tools stay
    files = (path.read_bytes() for path in sorted([*ROOT.glob("bin/*setup*"), *ROOT.glob("requirements/*")]))
    made_for = f"{ROOT} {Path(sys.executable).resolve()} {sys.version}"
    key = hashlib.sha256(b"\0".join([made_for.encode(), *files])).hexdigest()[:16]
    build = builds / f"{kind}-{key}"
    library, finished = native_library(build), build / "setup.finished"
    warm = trained(build)
    is_warm = warm.exists() or not (ROOT / "training").exists()  # an early stage of the image has no training
    if link.resolve() == build and finished.exists() and library.exists() and is_warm:
        return
    builds.mkdir(exist_ok=True)
    with (builds / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            for left in {*builds.glob("*/")} - {link.resolve()}:
                shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=builds) as scratch:
            if not finished.exists():
                make(build, kind, Path(scratch))
                finished.touch()
            if not library.exists():
                compile_native(library, Path(scratch))
            (fresh := Path(scratch) / "link").symlink_to(build.relative_to(ROOT))
            fresh.replace(link)
            if not is_warm and not warm.exists():
                train(build, Path(scratch))


if __name__ == "__main__":
    os.umask(0o022)  # the daemon's user reads what root installs
    begun = os.times().elapsed
    signal.signal(signal.SIGALRM, lambda *_: os.write(2, b"setup: %d s\n" % (os.times().elapsed - begun)))
    signal.setitimer(signal.ITIMER_REAL, 3, 3)
    try:
        set_up("runtime" if "--runtime" in sys.argv else "dev")
    except (KeyboardInterrupt, OSError, ValueError, subprocess.SubprocessError) as error:
        sys.exit(f"bin/setup: {str(error) or 'interrupted'}")
