"""The KCL's side of the MultiLang protocol, and what the child on the other side costs."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from consumer.local.child import ROOT, tail
from tests.bench.usage import cpu_time, kilobytes

_SAMPLE_SECONDS = 0.2


class BenchError(Exception):
    """A run is void: the child failed, or records were lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one child, from the first record to its end; memory over its whole life."""

    cpu_seconds: float
    start_cpu_seconds: float
    peak_rss_bytes: int
    peak_pss_bytes: int


class Child:
    """A program that the KCL would start for a shard. Use as a context: it never outlives it."""

    def __init__(self, program: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """`program` is what follows `python -m`."""
        self._log = folder / "child.log"
        with self._log.open("wb") as stderr:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", *program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=child_environment(environment),
            )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._input = self._popen.stdin.fileno()
        self._output = self._popen.stdout
        self._memory = MemoryWatch(self.pid)
        self._start_cpu_seconds = 0.0

    @property
    def pid(self) -> int:
        return self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.stop()
        if self._popen.returncode is None:
            self.kill()
            self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            pipe.close()

    def initialize(self) -> None:
        self.call(
            b'{"action":"initialize","shardId":"shardId-000000000000",'
            b'"sequenceNumber":"TRIM_HORIZON","subSequenceNumber":0}\n'
        )
        self._start_cpu_seconds = self.cpu_seconds()

    def call(self, message: bytes) -> dict[str, Any]:
        """Send a message; every checkpoint asked for meanwhile is granted. Returns the status."""
        try:
            view = memoryview(message)
            while view:
                view = view[os.write(self._input, view) :]
            while (answer := self._next())["action"] != "status":
                os.write(self._input, json.dumps({**answer, "error": None}).encode() + b"\n")
        except BrokenPipeError:
            raise self._failed() from None
        return answer

    def end_shard(self) -> None:
        self.call(b'{"action":"shardEnded"}\n')

    def close(self) -> Cost:
        """Close its input, and wait for its end."""
        peak_rss = self._memory.finish()
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        _, status, usage = os.wait4(self.pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        if self._popen.returncode != 0:
            raise self._failed()
        return Cost(
            cpu_seconds=usage.ru_utime + usage.ru_stime - self._start_cpu_seconds,
            start_cpu_seconds=self._start_cpu_seconds,
            peak_rss_bytes=peak_rss,
            peak_pss_bytes=self._memory.peak_pss_bytes,
        )

    def kill(self) -> None:
        self._popen.kill()

    def cpu_seconds(self) -> float:
        """User and system time up to this moment."""
        return cpu_time(self.pid).own

    def rss_bytes(self) -> int:
        return kilobytes(Path(f"/proc/{self.pid}/status"), "VmRSS") * 1024

    def _next(self) -> dict[str, Any]:
        for line in self._output:
            if line.strip():
                message: dict[str, Any] = json.loads(line)
                return message
        raise self._failed()

    def _failed(self) -> BenchError:
        return BenchError(f"the child has failed:\n{tail(self._log)}")


class MemoryWatch:
    """Samples a process' proportional memory in a thread, until `stop` or `finish`. `shared_bytes` is what other
    processes bear of its resident memory."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self.peak_pss_bytes = 0
        self.shared_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def finish(self) -> int:
        """Take the last sample; returns the peak of the resident memory in bytes."""
        self.stop()
        self._sample()
        return kilobytes(self._proc / "status", "VmHWM") * 1024

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        try:
            pss = kilobytes(self._proc / "smaps_rollup", "Pss") * 1024
            self.shared_bytes = kilobytes(self._proc / "smaps_rollup", "Rss") * 1024 - pss
        except OSError:  # it has ended
            return
        self.peak_pss_bytes = max(self.peak_pss_bytes, pss)


def child_environment(added: Mapping[str, str]) -> dict[str, str]:
    """Ours, with keys that no AWS knows."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CONSUMER_"))}
    keys = {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {**kept, **keys, "PYTHONPATH": str(ROOT), **added}
