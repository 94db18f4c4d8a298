"""What Java's own flight recorder says of a JVM while it is measured."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.jvm import java_tool
from tests.bench.kcl import BenchError

VIEWS = (
    "hot-methods",
    "thread-cpu-load",
    "gc-pauses",
    "gc",
    "allocation-by-class",
    "allocation-by-thread",
    "allocation-by-site",
)
_RECORDING = "bench"
_LEAST_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Profile:
    """A recording of a JVM from `begin` to `end`, in `file`."""

    file: Path

    def begin(self, pid: int) -> None:
        """Raises BenchError."""
        _run("jcmd", str(pid), "JFR.start", f"name={_RECORDING}", "settings=profile")

    def end(self, pid: int) -> None:
        """Raises BenchError."""
        _run("jcmd", str(pid), "JFR.dump", f"name={_RECORDING}", f"filename={self.file}")
        _run("jcmd", str(pid), "JFR.stop", f"name={_RECORDING}")

    def text(self) -> str:
        """What it says, as tables. Raises BenchError."""
        views = (_run("jfr", "view", "--width", "160", view, str(self.file)) for view in VIEWS)
        return "\n".join(view.rstrip() for view in views)


def thread_table(seconds: Mapping[str, float]) -> str:
    """CPU seconds by threads, the most first; those that took nothing worth telling are left out."""
    told = sorted(seconds.items(), key=lambda item: -item[1])
    return "\n".join(f"{spent:8.2f}  {name}" for name, spent in told if spent >= _LEAST_SECONDS)


def _run(tool: str, *arguments: str) -> str:
    done = subprocess.run(
        [java_tool(tool), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        raise BenchError(f"{tool} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout
