"""Level `hostile`: records made to break a shard process, by each backend, method and shape of rows.

Of 10 MiB three of a kind go through a shard process of their own, between good records; of 20 KB two of every kind go
through one. It is a fault where a record is not delivered and becomes no dead letter, or both, or twice, or with a
reason that is wrong for its kind; where a good one is not delivered; where the process does not end with status 0,
takes more memory than docs/ec2.md gives a shard (pages that it shares with the fork server do not count), or more than
half a second of CPU time a megabyte of payloads and partition keys.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tests.bench.hostile_cases import HostileCase
from tests.bench.hostile_run import FLOODED, Load, Place, Run, large_load, run, running, small_load
from tests.bench.shard_level import MIB
from tests.hostile.kinds import LARGE_BYTES, SMALL_BYTES, kinds_of

type Size = Literal["small", "large"]
SIZES: tuple[Size, ...] = ("small", "large")


def measure(
    cases: Sequence[HostileCase],
    *,
    pattern: str,
    sizes: Sequence[Size],
    folder: Path,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """A row for each case and load of the kinds that match, those that fail among them."""
    rows: list[dict[str, Any]] = []
    for case in cases:
        wanted = list(loads(case, pattern, sizes))
        if not wanted:
            continue
        with running(case, folder) as place:
            for load, done in _runs(case, wanted, place):
                rows.append(_row(case, load, done))
                told = "; ".join(done.faults) or "passed"
                say(f"{case.name}: {load.name}, {load.size_bytes:,} bytes: {told}")
    return rows


def loads(case: HostileCase, pattern: str, sizes: Sequence[Size]) -> Iterator[Load]:
    """All small kinds together, each large one alone, and the flood.

    With one table for all keys, the large ones are those whose key chooses none: the others are as with several.
    """
    alike = re.compile(pattern).search
    small = [kind for kind in kinds_of(SMALL_BYTES) if alike(kind.name)]
    if "small" in sizes and small:
        yield small_load(small)
    if "large" in sizes:
        one_table = case.shape.key_digits == 0
        for kind in kinds_of(LARGE_BYTES):
            if alike(kind.name) and (kind.is_about_tables or not one_table):
                yield large_load(kind)
        if alike(FLOODED.name) and not one_table:
            yield FLOODED


def _runs(case: HostileCase, wanted: Sequence[Load], place: Place) -> Iterator[tuple[Load, Run]]:
    """Where kinds fail together each is tried alone: the first to end a process hides the others."""
    for load in wanted:
        done = run(case, load, place)
        yield load, done
        if done.process_faults and len(load.kinds) > 1:
            for kind in load.kinds:
                alone = Load(name=kind.name, kinds=[kind], size_bytes=load.size_bytes, each=load.each)
                alone_done = run(case, alone, place)
                if alone_done.faults:
                    yield alone, alone_done


def _row(case: HostileCase, load: Load, done: Run) -> dict[str, Any]:
    measured = done.measured
    return {
        "case": case.name,
        "kind": load.name,
        "record_bytes": load.size_bytes,
        "record_mb": round(done.record_mb, 1),
        "outcomes": dict(sorted(done.verdict.outcomes.items())),
        "peak_rss_mib": round(measured.peak_rss_bytes / MIB, 1) or None,
        "shared_mib": round(measured.shared_bytes / MIB, 1),
        "peak_pss_mib": round(measured.peak_pss_bytes / MIB, 1),
        "allowed_mib": done.allowed_mib,
        "cpu_seconds": round(measured.cpu_seconds, 2),
        "cpu_seconds_per_mb": _a_megabyte(measured.cpu_seconds, done.record_mb),
        "faults": done.faults,
    }


def _a_megabyte(seconds: float, record_mb: float) -> float | None:
    """None for so little that all of it is what the first record costs."""
    return round(seconds / record_mb, 3) if record_mb >= 1 else None
