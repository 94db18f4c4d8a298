"""Level `memory`: a shard process' memory under full load, and while its backend refuses everything.

Forked from one that has everything imported, as in production, and started apart.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench import hostile_level
from tests.bench.backend import Backend, discarding
from tests.bench.cases import TARGETS, USUAL_SIZE, Case, settings_of, usual_case
from tests.bench.counts import Behaviour
from tests.bench.fork_level import LAUNCHER, fork_server, only_forked
from tests.bench.hostile_cases import usual_hostile_cases
from tests.bench.inputs import Line
from tests.bench.kcl import BenchError, Child, MemoryWatch
from tests.bench.shard_level import MIB, check_arrived, environment_of, start

ALLOWANCE_MIB = 40
"""Beside delivery.max_in_flight_bytes."""

_STILL_SECONDS = 3.0
"""A callback that has not returned for so long waits for room."""

_POLL_SECONDS = 0.2
_FILL_SECONDS = 100.0


def measure(*, folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for each target and state; raises BenchError when a record did not arrive."""
    rows: list[dict[str, Any]] = []
    with discarding(folder) as backend:
        for target in TARGETS:
            case = usual_case(target, USUAL_SIZE)
            for started in (_forked, _apart):
                for outage in (False, True):
                    with started(case, backend, folder) as run:
                        rows.append({"backend": target, **_peak(run, case, backend, folder, outage)})
                    say(str(rows[-1]))
    return rows


def measure_hostile(pattern: str, *, folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for each target and kind of hostile record of 10 MiB that matches, those with faults among them."""
    rows: list[dict[str, Any]] = []
    for target, case in usual_hostile_cases().items():
        found = hostile_level.measure([case], pattern=pattern, sizes=("large",), folder=folder, say=say)
        rows += [
            {**row, "backend": target, "started": "forked", "state": f"hostile: {row['kind']}"}
            for row in found
        ]
    return rows


class _Started:
    """A shard process at the end of a child's pipes. `find` names it once it has answered."""

    def __init__(self, how: str, child: Child, find: Callable[[], int]) -> None:
        self.how = how
        self.child = child
        self.find = find


@contextlib.contextmanager
def _apart(case: Case, backend: Backend, folder: Path) -> Iterator[_Started]:
    with start(case, backend, folder) as child:
        yield _Started("apart", child, lambda: child.pid)


@contextlib.contextmanager
def _forked(case: Case, backend: Backend, folder: Path) -> Iterator[_Started]:
    environment = environment_of(case, backend, folder)
    with fork_server(folder, environment) as (server, path):
        launching = {**environment, "CONSUMER_FORK_SERVER": path}
        with Child(LAUNCHER, folder, launching) as child:
            yield _Started("forked", child, lambda: only_forked(server))


def _peak(run: _Started, case: Case, backend: Backend, folder: Path, outage: bool) -> dict[str, Any]:
    backend.behave(Behaviour(outage=outage))
    limit = settings_of(case, backend, folder).integer("delivery.max_in_flight_bytes")
    run.child.initialize()
    watch = MemoryWatch(run.find())
    feed = _Feed(run.child, case)
    try:
        if outage:
            feed.wait_until_it_is_stuck()
            backend.behave()
        number_sum = feed.finish()
        peak_rss_bytes = watch.finish()
    finally:
        watch.stop()
    run.child.close()
    check_arrived(case, backend, number_sum)
    return {
        "started": run.how,
        "state": "outage" if outage else "load",
        "limit_mib": round(limit / MIB),
        "peak_rss_mib": round(peak_rss_bytes / MIB, 1),
        "peak_pss_mib": round(watch.peak_pss_bytes / MIB, 1),
        "allowed_mib": round(limit / MIB) + ALLOWANCE_MIB,
    }


class _Feed:
    """Gives a child its records from a thread, since a full shard process lets its caller wait."""

    def __init__(self, child: Child, case: Case) -> None:
        self._child = child
        self._lines: list[Line] = []
        self._failure: BenchError | None = None
        self._thread = threading.Thread(target=self._give, args=(case,), daemon=True)
        self._thread.start()

    def wait_until_it_is_stuck(self) -> None:
        """Raises BenchError when all records went in."""
        deadline = time.monotonic() + _FILL_SECONDS
        given, since = -1, time.monotonic()
        while time.monotonic() - since < _STILL_SECONDS:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise self._failure or BenchError("the in-flight limit was never reached")
            if len(self._lines) != given:
                given, since = len(self._lines), time.monotonic()
            time.sleep(_POLL_SECONDS)

    def finish(self) -> int:
        """Wait until everything is delivered; returns the sum of the payloads' numbers."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return sum(line.number_sum for line in self._lines)

    def _give(self, case: Case) -> None:
        try:
            for line in case.input.lines():
                self._child.call(line.text)
                self._lines.append(line.without_text())
            self._child.end_shard()
        except BenchError as error:
            self._failure = error
