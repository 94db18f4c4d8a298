"""Which daemons run on this host, by the locks that they hold in their state directories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from consumer.settings import Settings

LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon: the settings that it runs by, and the directory in which it keeps its state."""

    settings: Settings
    directory: Path


def running(state_dir: Path) -> Iterator[Running]:
    """Each application whose lock is held, as far as this user may look; what an ended one left behind does not count.

    The kernel's list tells of locks without taking one, which would be in the way of a daemon that starts.
    """
    held = {tuple(line.split()[-4:-2]) for line in LOCKS.read_text().splitlines() if " FLOCK " in line}
    held_by = {(pid, place.rpartition(":")[2]) for pid, place in held}
    for lock in sorted(state_dir.glob("*/lock")):
        try:
            if (lock.read_text().strip(), str(lock.stat().st_ino)) in held_by:
                settings = Settings.parse((lock.parent / "settings.json").read_bytes())
                yield Running(settings, lock.parent)
        except (OSError, msgspec.MsgspecError):
            continue  # it starts, and has not written its settings yet
