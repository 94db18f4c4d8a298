"""The daemon that a replay runs: started as `bin/start` is, watched by its status and its leases, ended in order."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

import msgspec

from consumer.daemon.report.leases import Lease
from consumer.daemon.supervise.processes import die_with
from consumer.domain.events import REPLAYED
from consumer.settings import PROJECT_ROOT, Settings

_LOG_LINES = 5
_LOG_BYTES = 64 * 1024


class _Shard(msgspec.Struct, frozen=True):
    shard: str
    state: str
    behind_latest_seconds: float | None = None


class _Records(msgspec.Struct, frozen=True):
    delivered: int = 0
    dead_letters: int = 0


class Told(msgspec.Struct, frozen=True):
    """What the daemon's status file says of it."""

    pid: int
    updated_at: float
    reasons: tuple[str, ...] = ()
    shards: tuple[_Shard, ...] = ()
    records: _Records = _Records()

    @property
    def replayed(self) -> frozenset[str]:
        """The shards that are at the end of the range."""
        return frozenset(one.shard for one in self.shards if one.state == REPLAYED)


def is_complete(leases: Sequence[Lease], planned: Set[str], replayed: Set[str]) -> bool:
    """Whether each planned shard is at the end of the range, or was read to its own end; the KCL may take the leases of
    such away, but never all of them. A shard that waits for a parent has only what came after that parent's end of the
    range."""
    unended = {lease.shard: lease for lease in leases if not lease.ended}
    due = {shard for shard in planned & unended.keys() if not unended[shard].parents & unended.keys()}
    return bool(leases) and due <= replayed


def seconds_done(
    told: Told, begins: Mapping[str, int], leases: Sequence[Lease], *, to_ms: int, now_ms: int
) -> float:
    """How much of the range is delivered or under way, of all shards together; `begins` as Plan has it."""
    unended = {lease.shard for lease in leases if not lease.ended}
    shown = {one.shard: one for one in told.shards}
    done = 0.0
    for shard, began_ms in begins.items():
        span = max(0.0, (to_ms - began_ms) / 1000)
        one = shown.get(shard)
        if shard in told.replayed or (leases and shard not in unended):
            done += span
        elif one is not None and one.behind_latest_seconds is not None:
            done += min(span, max(0.0, (now_ms - began_ms) / 1000 - one.behind_latest_seconds))
    return done


class ReplayDaemon:
    """One run of it. Its log goes to a file beside its state directory, which it shares with later runs."""

    def __init__(self, settings: Settings, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """`settings` are those of the replay, `arguments` what `bin/start` is given for them."""
        root, name = settings.path("worker.state_dir"), settings.text("applicationName")
        self._directory = root / name
        self.log = root / f"{name}.log"
        self._arguments = arguments
        self._environment = environment
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """In a session of its own, so that a terminal's signals do not reach it. Raises OSError."""
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        parent = os.getpid()
        path = os.pathsep.join(filter(None, (str(PROJECT_ROOT), self._environment.get("PYTHONPATH"))))
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "consumer", "start", *self._arguments],
                env={**self._environment, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),
            )

    def told(self) -> Told | None:
        """What this run says of itself; None where it says nothing yet."""
        assert self._popen is not None
        try:
            told = msgspec.json.decode((self._directory / "status.json").read_bytes(), type=Told)
        except (OSError, msgspec.MsgspecError):
            return None
        return told if told.pid == self._popen.pid else None

    def code(self) -> int | None:
        """Its exit code once it has ended."""
        return None if self._popen is None else self._popen.poll()

    def stop(self) -> int:
        """Asks for an orderly end, which the daemon bounds, and waits for it; returns its exit code."""
        if self._popen is None:
            return 0
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
        return self._popen.wait()

    def last_lines(self) -> list[str]:
        """The end of its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - _LOG_BYTES))
                return log.read().decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
        except OSError:
            return []

    def forget(self) -> None:
        """Removes what it has left on this host."""
        shutil.rmtree(self._directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.log.unlink()


def start_arguments(
    backend: str, *, local: bool, properties: Path | None, settings: Iterable[tuple[str, str]]
) -> list[str]:
    """The later settings count more."""
    chosen = [f"--set={key}={value}" for key, value in settings]
    file = [] if properties is None else [f"--properties={properties.resolve()}"]
    return [backend, *(["--local"] if local else []), *file, *chosen]
