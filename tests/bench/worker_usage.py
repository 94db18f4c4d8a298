"""What workers take of their host: memory, threads and CPU time of their JVMs and of what stands beside them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from consumer.domain.events import SHARD_PROCESS_NAME
from tests.bench.fork_level import pss_bytes
from tests.bench.usage import cpu_time, kilobytes
from tests.chaos.processes import Proc

type Seconds = Mapping[tuple[int, int], float]
"""CPU seconds by number and start of a process."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The processes of workers, supervisors left out. `beside` are fork servers, launchers and shard processes."""

    jvms: Sequence[Proc]
    beside: Sequence[Proc]

    @property
    def shard_processes(self) -> list[Proc]:
        return [process for process in self.beside if process.name == SHARD_PROCESS_NAME]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes and threads. The JVMs' memory is resident, that of the others proportional; a process that ends while it is
    looked at does not count."""

    jvm_rss_bytes: Sequence[int]
    beside_pss_bytes: int
    jvm_threads: int
    shard_threads: int


def parts(trees: Iterable[Sequence[Proc]]) -> Parts:
    """Each tree is a worker's, its supervisor first."""
    below = [process for tree in trees for process in tree[1:]]
    return Parts(
        [process for process in below if process.name == "java"],
        [process for process in below if process.name != "java"],
    )


def memory(found: Parts) -> Memory:
    return Memory(
        jvm_rss_bytes=[_rss_bytes(process) for process in found.jvms],
        beside_pss_bytes=sum(_pss_bytes(process) for process in found.beside),
        jvm_threads=sum(_threads(process) for process in found.jvms),
        shard_threads=sum(_threads(process) for process in found.shard_processes),
    )


def cpu_seconds(processes: Iterable[Proc]) -> Seconds:
    """Of those that run, without what their ended children took."""
    seconds = {}
    for process in processes:
        with suppress(OSError):
            seconds[process.pid, process.started] = cpu_time(process.pid).own
    return seconds


def spent(before: Seconds, after: Seconds) -> float:
    """By those that run still, the new ones included."""
    return sum(seconds - before.get(process, 0.0) for process, seconds in after.items())


def _rss_bytes(process: Proc) -> int:
    with suppress(OSError):
        return kilobytes(Path(f"/proc/{process.pid}/status"), "VmRSS") * 1024
    return 0


def _pss_bytes(process: Proc) -> int:
    with suppress(OSError):
        return pss_bytes([process.pid])
    return 0


def _threads(process: Proc) -> int:
    with suppress(OSError):
        return len(list(Path(f"/proc/{process.pid}/task").iterdir()))
    return 0
