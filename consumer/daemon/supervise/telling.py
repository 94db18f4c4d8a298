"""What the daemon tells of itself: status.json, the page, probes and metrics over HTTP, and metrics that are sent."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from consumer import __version__
from consumer.daemon.metrics.emf import EmfLines
from consumer.daemon.metrics.memory import ProcessMemory
from consumer.daemon.metrics.metric import Snapshot
from consumer.daemon.metrics.text import MetricsText
from consumer.daemon.page.site import Page
from consumer.daemon.report import http
from consumer.daemon.report.log import Log
from consumer.daemon.report.observed import Observed
from consumer.daemon.report.probes import probes
from consumer.daemon.report.status import Status, encode
from consumer.daemon.supervise.forked import Forked
from consumer.daemon.supervise.metrics_push import Pusher, Pushes, pushing
from consumer.daemon.supervise.state import StateDirectory
from consumer.settings import Settings

_PUSH_SECONDS = 10.0
"""For one push of metrics, its repeats included."""


class Telling:
    """That of one daemon. `publish` takes a status about once a second; what is asked for meanwhile is made anew."""

    def __init__(
        self, settings: Settings, state: StateDirectory, observed: Observed, forked: Forked, log: Log
    ) -> None:
        self._settings = settings
        self._state = state
        self._observed = observed
        self._log = log
        self._page = Page(settings, state_directory=state.path)
        self._memory = ProcessMemory(fork_server=lambda: forked.server, monotonic=time.monotonic)
        self._pushes = _pushes(settings, log)
        self._fails_to_write = False

    def publish(self, status: Status) -> None:
        """Tells the page and writes status.json; a full disk is worth a line each time it begins, and no more."""
        content = encode(status)
        self._page.saw(content)
        try:
            self._state.write(self._state.status_file, content)
            self._fails_to_write = False
        except OSError as error:
            if not self._fails_to_write:
                self._log.error(
                    f"worker.state_dir: cannot write {self._state.status_file}: {error.strerror}",
                    event="state_unwritable",
                )
            self._fails_to_write = True

    @asynccontextmanager
    async def over_http(self) -> AsyncIterator[None]:
        """Answers while the block runs, unless there is to be no port."""
        host, port = self._settings.text("http.host"), self._settings.integer("http.port")
        if not port:
            yield
            return
        text = MetricsText(self._snapshot, monotonic=time.monotonic)
        status = self._observed.status
        site = self._page.site(status, probes(status, text.metrics_text))
        async with http.serving(host, port, site, partial(self._log.warning, event="http_trouble")):
            yield

    def sending_metrics(self) -> AbstractAsyncContextManager[None]:
        """To the collector and as lines of stdout, where they are set, while the block runs."""
        return pushing(
            self._snapshot,
            seconds=self._settings.seconds("metrics.interval"),
            pushes=self._pushes,
            emf=EmfLines() if self._settings.flag("metrics.emf") else None,
            write=_write_to_stdout,
        )

    def _snapshot(self) -> Snapshot:
        status = self._observed.status()
        settings = self._settings
        return Snapshot(
            status=status,
            version=__version__,
            method=settings.text("bigquery.method") if settings.backend == "bigquery" else "put_object",
            memory=self._memory.of(status),
            failed_pushes=0 if self._pushes is None else self._pushes.failed,
        )


def _pushes(settings: Settings, log: Log) -> Pushes | None:
    endpoint = settings.optional_text("metrics.otlp_endpoint")
    if endpoint is None:
        return None
    timeout_seconds = min(_PUSH_SECONDS, settings.seconds("metrics.interval"))

    def make() -> Pusher:
        from consumer.daemon.metrics.otlp import pusher_to

        return pusher_to(endpoint, settings.optional_text("regionName"), timeout_seconds=timeout_seconds)

    return Pushes(
        make,
        warn=partial(log.warning, event="metrics_push_failed"),
        info=partial(log.info, event="metrics_push_works"),
    )


def _write_to_stdout(line: str) -> None:
    """A reader that is gone must not end the daemon."""
    with suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
