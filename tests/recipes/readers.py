"""Programs of Python that read with what requirements/readers.in names."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(sys.prefix) / "share/readers"


def run_reader(program: str, *arguments: str, cwd: Path | None = None) -> str:
    """What it prints. It finds AWS by the environment."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
