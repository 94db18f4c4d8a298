"""Children that are asked to stop when their parent ends, however it ends.

`python -m consumer.local.tethered PARENT_PID ARGUMENT...` becomes `python -m consumer ARGUMENT...`.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from consumer.local.child import ROOT, die_with_parent


def spawn(
    *arguments: str,
    state_dir: Path,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes] | int,
    stderr: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Run a `python -m consumer` command on the stack of `state_dir`, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "consumer.local.tethered", str(os.getpid()), *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env=environment(state_dir),
    )


def environment(state_dir: Path) -> dict[str, str]:
    """Ours, for a command on the stack of a state directory."""
    return {**os.environ, "CONSUMER_LOCAL_DIR": str(state_dir), "PYTHONPATH": str(ROOT)}


def main() -> None:
    """Replace this process; the tie to the parent stays."""
    die_with_parent(int(sys.argv[1]), signal.SIGTERM)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "consumer", *sys.argv[2:]])


if __name__ == "__main__":
    main()
