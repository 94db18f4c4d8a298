"""One run of level `sizes`: the real KCL, its fork server and its shard processes with a share of the processors."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from consumer.domain.names import FORK_SERVER_VARIABLE
from tests.bench import jvm
from tests.bench.fork_level import LAUNCHER, fork_server
from tests.bench.kcl_run import KclCase, World, preparing
from tests.bench.kinesis.stub import Stub
from tests.bench.sizes_group import ControlGroup, PeakMemory, Throttling, limited

_STILL_SECONDS = 300.0
"""A quarter of a processor takes a minute until the first record."""
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRun:
    """`cpu_seconds`, `seconds` and `throttling` are from the end of the warm-up until everything was delivered; the
    memory is that of JVM, fork server, launchers and shard processes over their whole life, proportional."""

    records: int
    seconds: float
    cpu_seconds: float
    throttling: Throttling
    start: "Started"
    peak_pss_bytes: int

    @property
    def per_million(self) -> float:
        """CPU seconds."""
        return self.cpu_seconds / self.records * 1e6

    @property
    def rate(self) -> float:
        """Records/s."""
        return self.records / self.seconds


@dataclass(frozen=True, slots=True)
class Started:
    """From the start of the JVM until every shard was asked for, and what JVM, fork server and shard processes took of
    the processors until then."""

    seconds: float
    cpu_seconds: float


class StartWatch:
    """Waits for `has_started` for as long as the block runs."""

    def __init__(self, has_started: Callable[[], bool], group: ControlGroup) -> None:
        self._has_started = has_started
        self._group = group
        self._began = time.perf_counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.started = Started(0.0, 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            if self._has_started():
                self.started = Started(time.perf_counter() - self._began, self._group.cpu_seconds())
                return


@dataclass(slots=True)
class GroupSpan:
    """What a control group took from `begin` to `end`."""

    group: ControlGroup
    cpu_seconds: float = 0.0
    throttling: Throttling = field(default_factory=lambda: Throttling(0, 0, 0.0))

    def begin(self, _pid: int) -> None:
        self.throttling, self.cpu_seconds = self.group.throttling(), self.group.cpu_seconds()

    def end(self, _pid: int) -> None:
        self.throttling = self.group.throttling().since(self.throttling)
        self.cpu_seconds = self.group.cpu_seconds() - self.cpu_seconds


def run(case: KclCase, cores: float, shared: World, *, name: str) -> SizeRun:
    """One life of a JVM, as the KCL application `name`, which must be new to the world. Raises BenchError."""
    with (
        limited(cores) as group,
        preparing(case, shared, name=name) as ready,
        fork_server(ready.folder, {**ready.environment}) as (server, path),
    ):
        group.take(server)
        environment = {**ready.environment, FORK_SERVER_VARIABLE: path}
        with jvm.running(ready.settings, LAUNCHER, ready.folder, environment) as kcl:
            group.take(kcl.popen.pid)
            span = GroupSpan(group)
            start = StartWatch(lambda: _all_asked_for(ready.stub, case.shards), group)
            with PeakMemory(group) as memory, start:
                done = ready.watch(kcl, span=span, still_seconds=_STILL_SECONDS).measure(case.script)
        return SizeRun(
            records=done.records,
            seconds=done.seconds,
            cpu_seconds=span.cpu_seconds,
            throttling=span.throttling,
            start=start.started,
            peak_pss_bytes=memory.peak_pss_bytes,
        )


def _all_asked_for(stub: Stub, shards: int) -> bool:
    """Each shard has been given an iterator, and the last of them is read next."""
    return stub.state().calls.get("GetShardIterator", 0) >= shards
