"""One shard process under hostile records, from its first one to its end, and what is wrong with that."""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.backend import Backend, serving
from tests.bench.fork_level import LAUNCHER, fork_server, only_forked
from tests.bench.host_memory import PYARROW_MIB, shard_mib
from tests.bench.hostile_cases import HostileCase
from tests.bench.hostile_input import FLOOD, HostileInput
from tests.bench.hostile_verdict import Verdict, verdict
from tests.bench.kcl import BenchError, Child, MemoryWatch
from tests.bench.shard_level import MIB
from tests.bench.usage import cpu_time, descendants
from tests.hostile.kinds import LARGE_BYTES, SMALL_BYTES, Kind

CPU_SECONDS_PER_MB = 0.5
_CPU_SECONDS = 0.5
"""For what is imported and connected to when the first record and the first dead letter come."""

_PATIENCE_SECONDS = 60.0
"""For all records of a run, beside twice the CPU time that they may take."""
_END_SECONDS = 10.0
_SHARD = "shardId-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one shard process is given: `each` records of every kind and of about a size; no kind means the flood."""

    name: str
    kinds: Sequence[Kind]
    size_bytes: int
    each: int


def small_load(kinds: Iterable[Kind], each: int = 2) -> Load:
    """Records of 20 KB, of all kinds together."""
    return Load(name="all", kinds=list(kinds), size_bytes=SMALL_BYTES, each=each)


def large_load(kind: Kind, each: int = 3) -> Load:
    """Records of 10 MiB."""
    return Load(name=kind.name, kinds=[kind], size_bytes=LARGE_BYTES, each=each)


FLOODED = Load(name=FLOOD, kinds=[], size_bytes=0, each=0)


@dataclass(slots=True)
class Measured:
    """`peak_rss_bytes` is 0 where the process did not live to tell; `shared_bytes` of it are the fork server's, which a
    host has once; `ended` says how it failed."""

    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0
    peak_pss_bytes: int = 0
    shared_bytes: int = 0
    has_pyarrow: bool = False
    ended: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a load has cost, what has become of it, and how much it was."""

    measured: Measured
    verdict: Verdict
    record_mb: float
    allowed_mib: int

    @property
    def process_faults(self) -> list[str]:
        """That may be the doing of any of its records."""
        measured = self.measured
        if measured.ended:
            return [f"ended: {measured.ended.splitlines()[-1][:200]}"]
        faults = []
        own_bytes = measured.peak_rss_bytes - measured.shared_bytes
        if own_bytes > self.allowed_mib * MIB:
            faults.append(f"{own_bytes / MIB:.0f} MiB of memory, {self.allowed_mib} are allowed")
        if measured.cpu_seconds > _CPU_SECONDS + CPU_SECONDS_PER_MB * self.record_mb:
            faults.append(f"{measured.cpu_seconds / self.record_mb:.2f} s of CPU time a megabyte")
        return faults

    @property
    def faults(self) -> list[str]:
        """All of them; what has become of its records says nothing where it has failed before their end."""
        return self.process_faults if self.measured.ended else [*self.process_faults, *self.verdict.faults]


@dataclass(frozen=True, slots=True)
class Place:
    """Where shard processes of one case run: a keeping backend, a folder, a fork server's process and socket."""

    backend: Backend
    folder: Path
    server: int
    path: str


@contextlib.contextmanager
def running(case: HostileCase, folder: Path) -> Iterator[Place]:
    """A keeping backend, and a fork server for shard processes of the case."""
    with serving("tests.bench.keep", folder) as backend:
        environment = _environment(case, backend, folder)
        with fork_server(folder, environment) as (server, path):
            yield Place(backend, folder, server, path)


def run(case: HostileCase, load: Load, place: Place) -> Run:
    """Give a shard process of its own the load. A process that fails is a finding, and raises nothing."""
    given = HostileInput()
    place.backend.forget()
    measured = _measured(case, load, given, place)
    kept = place.backend.kept()
    shard = _SHARD if case.metadata else None
    return Run(
        measured=measured,
        verdict=verdict(given.given, kept, case.shape, shard=shard, size=load.size_bytes),
        record_mb=given.record_bytes() / 1e6,
        allowed_mib=_allowed_mib(case, place, measured),
    )


def _measured(case: HostileCase, load: Load, given: HostileInput, place: Place) -> Measured:
    measured = Measured()
    messages = given.messages(load.kinds, load.size_bytes, load.each) if load.kinds else given.flood()
    launching = {**_environment(case, place.backend, place.folder), "CONSUMER_FORK_SERVER": place.path}
    patience = _PATIENCE_SECONDS + 2 * CPU_SECONDS_PER_MB * load.size_bytes * load.each / 1e6
    with Child(LAUNCHER, place.folder, launching) as child:
        watchdog = threading.Timer(patience, child.kill)
        watchdog.start()
        try:
            _give(child, messages, place.server, measured)
        except BenchError as error:
            late = "" if watchdog.is_alive() else f"; no answer in {patience:.0f} s"
            measured.ended = f"{error}{late}"
        finally:
            watchdog.cancel()
    _await_end(place.server)
    return measured


def _give(child: Child, messages: Iterable[bytes], server: int, measured: Measured) -> None:
    """Raises BenchError."""
    child.initialize()
    pid = only_forked(server)
    watch = MemoryWatch(pid)
    try:
        before = cpu_time(pid).own
        for message in messages:
            child.call(message)
        child.end_shard()
        measured.cpu_seconds = cpu_time(pid).own - before
        measured.peak_rss_bytes = watch.finish()
        measured.has_pyarrow = "pyarrow" in Path(f"/proc/{pid}/maps").read_text()
    finally:
        watch.stop()
        measured.peak_pss_bytes = watch.peak_pss_bytes
        measured.shared_bytes = watch.shared_bytes
    child.close()


def _await_end(server: int) -> None:
    """Of a shard process whose launcher was killed."""
    deadline = time.monotonic() + _END_SECONDS
    while list(descendants(server)) and time.monotonic() < deadline:
        time.sleep(0.02)


def _environment(case: HostileCase, backend: Backend, folder: Path) -> dict[str, str]:
    settings_file = folder / "settings.json"
    settings_file.write_bytes(case.settings_at(backend, folder).dump())
    return {"CONSUMER_SETTINGS": str(settings_file)}


def _allowed_mib(case: HostileCase, place: Place, measured: Measured) -> int:
    """What the documents give a shard. pyarrow is imported only where a row is met that the C library cannot write."""
    unused = PYARROW_MIB if case.arrow and not measured.has_pyarrow else 0
    return round(shard_mib(case.settings_at(place.backend, place.folder))) - unused
