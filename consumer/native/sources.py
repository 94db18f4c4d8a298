"""The C sources beside this module, and how they become the library.

bin/setup imports this file before any package is installed, and in an early stage of the image without any other module
of consumer/: it needs the standard library alone.
"""

import hashlib
import os
import shlex
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
OPTIONS = "-std=c11 -O3 -fPIC -shared -Wall -Wextra -Werror -g0 -fvisibility=hidden"
ZIG_OPTIONS = f"-target {os.uname().machine}-linux-gnu.2.17 -mcpu=baseline -fno-sanitize=undefined"
"""Left to itself zig compiles for this very processor and glibc, and undefined behaviour ends the process."""


class SourcesChanged(Exception):
    """While they were compiled."""


def library_name() -> str:
    """Of the library's file: a digest of the sources, and of how they are compiled, is part of it."""
    how = f"{OPTIONS} {ZIG_OPTIONS}".encode()
    digest = hashlib.sha256(b"\0".join([how, *(path.read_bytes() for path in _files("*.[ch]"))]))
    return f"consumer-native-{digest.hexdigest()[:16]}.so"


def own_compiler() -> list[str]:
    """What CC names, with its options; empty where it names none. Raises ValueError for a quote that is not closed."""
    return shlex.split(os.environ.get("CC", ""))


def compile_library(library: Path, scratch: Path, *, zig: Path) -> None:
    """Compiles by what CC names, or else by zig, and puts the library where it belongs once it is complete. Raises
    OSError, ValueError, CalledProcessError and SourcesChanged."""
    compiler = own_compiler() or [str(zig), "cc", *ZIG_OPTIONS.split()]
    output = scratch / library.name
    command: list[str | Path] = [*compiler, *OPTIONS.split(), "-o", output, *_files("*.c")]
    environment = os.environ | {"XDG_CACHE_HOME": str(scratch)}
    # The compiler may outlive bin/setup: it inherits the lock, and standard output is left to who called.
    subprocess.run(command, check=True, stdout=2, close_fds=False, env=environment)
    if library_name() != library.name:
        raise SourcesChanged("the C sources changed while they were compiled: run it again")
    output.replace(library)


def _files(pattern: str) -> list[Path]:
    """In the order of their names, without those that an editor hides."""
    return sorted(path for path in SOURCES.glob(pattern) if not path.name.startswith("."))
