"""How large the JVM's heap may become: enough for every shard of the stream to lag, within the memory there is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LEAST_MIB = 384
KCL_MIB = 128
"""What the KCL itself needs."""

ANSWERS = 12
"""Room for a shard that lags, in answers of Kinesis: the KCL fetches on until it has 8 MiB or three of them waiting,
and turns another one into text for the shard process, which takes several times its size; all shards may do so at
once, as at a start. Sixteen shards with answers of 7 MB failed at nearly 8 of them each, and did at 9."""

ANSWER_MIB = 10
"""https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html"""

MEMORY_SHARE = 0.4
_MIB = 1 << 20
_CHOSEN = ("-Xmx", "-XX:MaxHeapSize=", "-XX:MaxRAM")


@dataclass(frozen=True, slots=True)
class Heap:
    """`needed_mib` is what the open shards may need together."""

    mib: int
    needed_mib: int

    @property
    def is_enough(self) -> bool:
        return self.mib >= self.needed_mib


def needed_mib(shards: int, *, answer_mib: float = ANSWER_MIB) -> int:
    """For so many shards that lag."""
    return round(KCL_MIB + shards * ANSWERS * answer_mib)


def heap_for(open_shards: int, *, memory_bytes: int) -> Heap:
    """At least LEAST_MIB, and no more than its share of the memory."""
    needed = max(LEAST_MIB, needed_mib(open_shards))
    share = int(memory_bytes * MEMORY_SHARE) // _MIB
    return Heap(max(LEAST_MIB, min(needed, share)), needed)


def chosen_by(options: list[str]) -> str | None:
    """The first of the JVM's options that says how large its heap may become."""
    return next((option for option in options if option.startswith(_CHOSEN)), None)


def memory_bytes(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """What this process and its children may take: the host's memory, or less where a control group says so."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _groups(groups, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                limits.append(int((folder / name).read_text()))
            except (OSError, ValueError):  # not there, or "max"
                continue
    return min(limits)


def _groups(root: Path, own: Path) -> list[Path]:
    """The control groups that this process is in, by version 2 or the first, with those around them."""
    folders: set[Path] = {root, root / "memory"}
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return sorted(folders)
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base = root / controllers
        inner = base / path.lstrip("/")
        folders.update((inner, *(each for each in inner.parents if each.is_relative_to(base))))
    return sorted(folders)
