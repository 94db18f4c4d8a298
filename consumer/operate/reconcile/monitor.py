"""What a monitor's looks have found, as metrics: the forms are the daemon's own."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from consumer import __version__
from consumer.daemon.metrics.emf import EmfLines
from consumer.daemon.metrics.metric import Telling
from consumer.daemon.metrics.reconciled import RECONCILED, Reconciled
from consumer.daemon.metrics.text import text_of
from consumer.operate.reconcile.look import Result
from consumer.operate.reconcile.report import shown
from consumer.settings import Settings
from consumer.settings.table import BACKENDS, Backend

_PUSH_SECONDS = 30.0


class Pusher(Protocol):
    """OtlpPush."""

    def push_told(self, telling: Telling) -> None:
        """Raises whatever went wrong."""


type MakePusher = Callable[[Settings], Pusher | None]


def pusher_of(settings: Settings) -> Pusher | None:
    """None where metrics.otlp_endpoint is not set."""
    endpoint = settings.optional_text("metrics.otlp_endpoint")
    if endpoint is None:
        return None
    from consumer.daemon.metrics.otlp import pusher_to

    return pusher_to(endpoint, settings.optional_text("regionName"), timeout_seconds=_PUSH_SECONDS)


class Monitor:
    """Publishes after each look. What cannot be written is said, and tried again after the next look."""

    def __init__(
        self,
        settings: Mapping[Backend, Settings],
        *,
        file: Path | None,
        began_at: float,
        say: Callable[[str], object],
        write: Callable[[str], object],
        make_pusher: MakePusher = pusher_of,
    ) -> None:
        """`write` takes a line of EMF."""
        self._settings = settings
        self._file = file
        self._began_at = began_at
        self._say = say
        self._write = write
        self._make_pusher = make_pusher
        self._pushers: dict[Backend, Pusher | None] = {}
        self._emf = {backend: EmfLines() for backend in BACKENDS if settings[backend].flag("metrics.emf")}
        self._last: tuple[float, Result] | None = None

    def publish(self, result: Result | None, at: float) -> None:
        """`result` is None where nothing could be compared: what the look before has found stays."""
        if result is not None:
            self._last = at, result
        failed = result is None or bool(result.problems)
        tellings = {backend: self._telling(backend, at, failed=failed) for backend in BACKENDS}
        if self._file is not None:
            self._trying(f"--metrics-file {self._file}", lambda: self._replace(tellings))
        for backend, lines in self._emf.items():
            for line in lines.lines_of(tellings[backend]):
                self._write(line)
        for backend, telling in tellings.items():
            self._trying("metrics.otlp_endpoint", lambda: self._push(backend, telling))  # noqa: B023 - called at once

    def _telling(self, backend: Backend, at: float, *, failed: bool) -> Telling:
        told = Reconciled(failed=failed)
        if self._last is not None:
            looked_at, result = self._last
            faults: Counter[tuple[str, str]] = Counter()
            for (one, table, problem), count in result.faults_by_table.items():
                if one == backend:
                    faults[shown(table), problem] = count
            told = Reconciled(
                failed=failed,
                looked_at=looked_at,
                until=result.scope.end_ms / 1000,
                records=result.held[backend],
                faults=faults,
            )
        return Telling(
            application=self._settings[backend].text("applicationName"),
            backend=backend,
            worker_id=f"reconcile-{socket.gethostname()}",
            version=__version__,
            at=at,
            since=self._began_at,
            series=[(metric, list(metric.read(told))) for metric in RECONCILED],
        )

    def _replace(self, tellings: Mapping[Backend, Telling]) -> None:
        """Whoever reads the file sees all of it, or what was there before."""
        assert self._file is not None
        fresh = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        fresh.write_bytes(text_of(*tellings.values()))
        fresh.replace(self._file)

    def _push(self, backend: Backend, telling: Telling) -> None:
        if backend not in self._pushers:
            self._pushers[backend] = self._make_pusher(self._settings[backend])
        pusher = self._pushers[backend]
        if pusher is not None:
            pusher.push_told(telling)

    def _trying(self, where: str, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - whatever a collector, a proxy or a disk raises, looks go on
            self._say(f"reconcile: metrics cannot be written ({where}): {error}")
