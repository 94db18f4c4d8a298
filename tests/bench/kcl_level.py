"""Level `kcl`: prepared answers of Kinesis through the real KCL and its shard processes into the discarding backend."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.cases import TARGETS
from tests.bench.jvm_profile import Profile, thread_table
from tests.bench.kcl import BenchError
from tests.bench.kcl_run import ACKNOWLEDGES, KclCase, KclRun, run, world
from tests.bench.production import production_settings
from tests.bench.shard_level import MIB

SHARDS = (1, 2, 4, 16)
CHILDREN = (ACKNOWLEDGES, *TARGETS)
_RECORDS = 400_000
_RECORDS_A_SHARD = 50_000
"""With fewer of them, what shard processes cost is the memory that they touch for the first time."""


def cases(
    shards: Sequence[int],
    *,
    records: int | None,
    max_records: int | None,
    wire: str,
    against: Sequence[Sequence[str]] = (),
) -> list[KclCase]:
    """All of them. `records` of all shards together are measured, and as many before them warm up; `max_records` is
    the setting of the KCL. None is the usual for both. Each of `against` is a side that is compared with the usual
    settings, and what it sets, as key=value. Raises BenchError when a shard has no record."""
    if records is not None and records < max(shards):
        raise BenchError(f"{records} records are too few for {max(shards)} shards")
    return [
        _case(
            shards=number,
            child=child,
            records=records or max(_RECORDS, number * _RECORDS_A_SHARD),
            max_records=max_records or _usual(),
            wire=wire,
            settings=side,
        )
        for number in shards
        for child in CHILDREN
        for side in [(), *map(_side, against)]
    ]


def _side(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [word.partition("=") for word in words]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        raise BenchError(f"--against {wrong[0]}: not key=value")
    return tuple((key, value) for key, _, value in pairs)


def _case(
    *,
    shards: int,
    child: str,
    records: int,
    max_records: int,
    wire: str,
    settings: tuple[tuple[str, str], ...],
) -> KclCase:
    """What the stub gives in an answer is what a side asks for."""
    asked = int(dict(settings).get("maxRecords", max_records))
    return KclCase(
        shards=shards,
        child=child,
        records=records,
        warm_up=records,
        max_records=asked,
        wire=wire,
        settings=settings,
    )


def _usual() -> int:
    """maxRecords as properties/ has it."""
    return int(production_settings("s3").kcl["maxRecords"])


def measure(
    chosen: Sequence[KclCase], *, runs: int, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each case. Runs of different cases take turns, so that a busy machine troubles all alike.

    Raises BenchError when a process fails or when a record did not arrive.
    """
    done: dict[KclCase, list[KclRun]] = {case: [] for case in chosen}
    with world(folder) as shared:
        for number in range(1, runs + 1):
            for place, (case, its_runs) in enumerate(done.items()):
                its_runs.append(run(case, shared, name=f"bench-{number}-{place}"))
                say(f"run {number} of {runs}: {_told(case, its_runs[-1])}")
    return compared(done) if any(case.settings for case in chosen) else rows(done)


def profiled(chosen: Sequence[KclCase], *, folder: Path, say: Callable[[str], None]) -> str:
    """What the JVM does with its time and memory, once for each case, in words and tables. Raises BenchError."""
    told: list[str] = []
    with world(folder) as shared:
        for place, case in enumerate(chosen):
            profile = Profile(folder / f"{place}.jfr")
            done = run(case, shared, name=f"bench-{place}", profile=profile)
            say(_told(case, done))
            told += [
                _named(case),
                f"CPU s by threads of the JVM, until warm:\n{thread_table(done.start_threads)}",
                "CPU s per million records by threads of the JVM:\n"
                + thread_table({name: spent / done.records * 1e6 for name, spent in done.threads.items()}),
                profile.text(),
            ]
    return "\n\n".join(told)


def rows(done: Mapping[KclCase, Sequence[KclRun]]) -> list[dict[str, Any]]:
    """Of each case the run that cost least: whatever else the machine does only adds. `ratio` is the cost of JVM and
    shard processes by that of the case that acknowledges as many shards, None where that was not measured."""
    floors = {
        case.shards: _least(its_runs).per_million
        for case, its_runs in done.items()
        if case.child == ACKNOWLEDGES
    }
    return [_row(case, its_runs, floors.get(case.shards)) for case, its_runs in done.items()]


def _row(case: KclCase, runs: Sequence[KclRun], floor: float | None) -> dict[str, Any]:
    least = _least(runs)
    return {
        "shards": case.shards,
        "child": case.child,
        "wire": case.wire,
        "max_records": case.max_records,
        "records": least.records,
        "jvm_cpu_seconds_per_million": round(least.jvm_per_million, 2),
        "shards_cpu_seconds_per_million": round(least.shards_per_million, 2),
        "cpu_seconds_per_million": round(least.per_million, 2),
        "cpu_seconds_per_million_of_runs": [round(each.per_million, 2) for each in runs],
        "ratio": None if floor is None else round(least.per_million / floor, 2),
        "records_per_second": round(median(each.records / each.seconds for each in runs)),
        "jvm_start_cpu_seconds": round(median(each.start.root for each in runs), 2),
        "jvm_warming_cpu_seconds": round(median(_warming_seconds(case, each) for each in runs), 2),
        "shards_start_cpu_seconds": round(median(each.start.descendants for each in runs), 2),
        "jvm_peak_rss_mib": round(median(each.jvm_peak_rss_bytes for each in runs) / MIB, 1),
    }


def compared(done: Mapping[KclCase, Sequence[KclRun]]) -> list[dict[str, Any]]:
    """Medians of each side, and `ratio` that of its runs' costs by those of the runs with the usual settings that took
    turns with them."""
    return [
        _compared(case, its_runs, next(runs for usual, runs in done.items() if _is_usual_for(usual, case)))
        for case, its_runs in done.items()
    ]


def _is_usual_for(usual: KclCase, case: KclCase) -> bool:
    return not usual.settings and (usual.shards, usual.child) == (case.shards, case.child)


def _compared(case: KclCase, runs: Sequence[KclRun], usual: Sequence[KclRun]) -> dict[str, Any]:
    pairs = zip(runs, usual, strict=True)
    return {
        "shards": case.shards,
        "child": case.child,
        "settings": _settings_of(case),
        "ratio": round(median(own.per_million / other.per_million for own, other in pairs), 3),
        "cpu_seconds_per_million": round(median(run.per_million for run in runs), 2),
        "jvm_cpu_seconds_per_million": round(median(run.jvm_per_million for run in runs), 2),
        "jvm_start_cpu_seconds": round(median(run.start.root for run in runs), 2),
        "jvm_warming_cpu_seconds": round(median(_warming_seconds(case, run) for run in runs), 2),
        "first_seconds": round(median(run.first_seconds for run in runs), 2),
        "records_per_second": round(median(run.records / run.seconds for run in runs)),
        "jvm_peak_rss_mib": round(median(run.jvm_peak_rss_bytes for run in runs) / MIB, 1),
    }


def _warming_seconds(case: KclCase, a_run: KclRun) -> float:
    """What the start costs the JVM: all that it took until the records of the warm-up had come, but for what as many
    cost a warm one."""
    return a_run.start.root - case.warm_up / 1e6 * a_run.jvm_per_million


def _settings_of(case: KclCase) -> str:
    return ", ".join(f"{key}={value}" for key, value in case.settings) or "as they are"


def _named(case: KclCase) -> str:
    return f"{case.shards} shards, {case.child}, settings {_settings_of(case)}"


def _least(runs: Sequence[KclRun]) -> KclRun:
    return min(runs, key=lambda run: run.per_million)


def _told(case: KclCase, a_run: KclRun) -> str:
    return (
        f"{_named(case)}: {a_run.jvm_per_million:.2f} and {a_run.shards_per_million:.2f}"
        f" CPU s per million (JVM, shard processes), {a_run.records / a_run.seconds:.0f} records/s"
    )
