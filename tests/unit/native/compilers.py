"""C compilers of this machine, for tests that need one."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

_EMPTY = "int main(void) { return 0; }\n"


def compiler_with(*options: str, source: str = _EMPTY) -> list[str] | None:
    """The first one that makes a program of this source with these options: what CC names, or one of the usual; None
    without any.

    What bin/setup fetches to compile the library with is gone by then, and has no sanitizers.
    """
    for command in (shlex.split(os.environ.get("CC", "")), ["cc"], ["clang"], ["gcc"]):
        if command and shutil.which(command[0]) and _works([*command, *options], source):
            return command
    return None


def _works(command: Sequence[str], source: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "some.c").write_text(source)
        done = subprocess.run(
            [*command, "some.c", "-o", "some"], cwd=folder, capture_output=True, check=False
        )
    return done.returncode == 0


def compiled(command: Sequence[str | Path], program: Path) -> Path:
    """Runs the compiler, which has to have nothing to say."""
    done = subprocess.run([*command, "-o", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program
