"""What a run tells at its end, as text and as JSON."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from consumer.local.backends import BACKENDS
from consumer.settings.table import Backend
from tests.chaos.checker import Tally
from tests.chaos.forgotten import told
from tests.chaos.isolation import Isolation, Outage, Phase
from tests.chaos.run import Ending

_COUNTS = (
    "attempted",
    "acknowledged",
    "delivered",
    "dead_letters",
    "recovered",
    "lost",
    "unexpected",
    "misjudged",
    "duplicated",
)
_FORGOTTEN = "forgotten"
_PAIRS = 10
_MIB = 1024 * 1024


def summary(ending: Ending, *, seed: int, faults: int, seconds: float) -> dict[str, Any]:
    """The summary of `bin/chaos --json`."""
    return {
        "clean": ending.clean,
        "seed": seed,
        "faults": faults,
        "seconds": round(seconds, 1),
        **{backend: _counts(ending.tallies[backend]) for backend in BACKENDS},
        "objects": ending.objects,
        "failed_puts": ending.failed_puts,
        "drained_seconds": round(ending.drained_seconds, 1),
        "recovery_seconds": {
            backend: [round(one, 1) for one in seconds] for backend, seconds in ending.recoveries.items()
        },
        "orphans": ending.orphans,
        "missing": ending.missing,
        "untold": ending.untold,
        "reading": [asdict(one) for one in ending.reading],
        "exit_codes": ending.exit_codes,
        "limits": ending.limits,
        "forgotten": [asdict(one) for one in ending.forgotten],
        "plan": [
            {
                "number": one.fault.number,
                "kind": one.fault.kind.name,
                "target": one.fault.target,
                "planned": one.fault.at_seconds,
                "began": round(one.began, 1),
                "ended": round(one.ended, 1),
                "outcome": one.outcome,
            }
            for one in ending.happened
        ],
    }


def _counts(tally: Tally) -> dict[str, Any]:
    pairs = [[*pair, count] for pair, count in tally.twice_in.most_common(_PAIRS)]
    return {name: getattr(tally, name) for name in (*_COUNTS, _FORGOTTEN)} | {
        "twice_in": pairs,
        "examples": tally.examples,
        "verdicts": {label: dict(verdicts) for label, verdicts in sorted(tally.verdicts.items())},
    }


def table(ending: Ending, *, seconds: float) -> str:
    """A few lines for people."""
    counts = _COUNTS if ending.limits is None else (*_COUNTS, _FORGOTTEN)
    rows = [("backend", *(name.replace("_", " ") for name in counts))]
    for backend in BACKENDS:
        tally = ending.tallies[backend]
        rows.append((backend, *(f"{getattr(tally, name):,}" for name in counts)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    for backend in BACKENDS:
        lines += [f"{backend}: {example}" for example in ending.tallies[backend].examples]
        lines += _twice(backend, ending.tallies[backend])
        lines += _hostile(backend, ending.tallies[backend])
    lines += _recoveries(ending)
    lines += [f"orphan: {orphan}" for orphan in ending.orphans]
    lines += [f"not started again: {process}" for process in ending.missing]
    lines += [str(one) for one in ending.reading]
    lines += [f"health: {line}" for line in ending.untold]
    lines += [f"bin/reconcile: {line}" for line in ending.differences]
    lines += [f"{worker} ended with code {code}" for worker, code in ending.exit_codes.items() if code]
    lines += _limits(ending)
    outcome = "0 lost, 0 unexpected, 0 duplicated" if ending.clean else "NOT every record exactly once"
    return "\n".join([*lines, f"{outcome}; {seconds:.0f} s"])


def isolation_summary(found: list[Isolation]) -> list[dict[str, Any]]:
    """The measurements of `bin/chaos --isolation --json`."""
    return [
        {
            "down": one.down,
            "observed": one.observed,
            "ratio": round(one.ratio, 3),
            "holds": one.holds,
            "outage": asdict(one.outage),
            **{
                name: {key: round(value, 2) for key, value in asdict(phase).items()}
                for name, phase in _phases(one)
            },
        }
        for one in found
    ]


def isolation_table(found: list[Isolation]) -> str:
    """The same for people."""
    lines = []
    for one in found:
        lines.append(f"{one.down} refuses everything for {one.outage.seconds:.0f} s; {one.observed}:")
        lines += [
            f"  {name:6}  {phase.seconds:5.0f} s  {phase.records_per_second:8.1f} records/s"
            f"  oldest undelivered record: mean {phase.mean_age_seconds:.1f} s, most {phase.max_age_seconds:.1f} s"
            for name, phase in _phases(one)
        ]
        lines.append(f"  throughput during / before: {one.ratio:.3f}")
        lines.append(f"  {one.down} meanwhile: {_outage(one.outage)}")
        lines.append("  holds" if one.holds else "  does NOT hold")
    return "\n".join(lines)


def _outage(outage: Outage) -> str:
    resumed = outage.resumed_seconds
    return (
        f"{outage.refused_requests:,} requests refused, {outage.ended} shard processes ended, largest shard process"
        f" {outage.memory_before / _MIB:.0f} MiB before and {outage.memory_peak / _MIB:.0f} MiB at most,"
        f" {'nothing delivered afterwards' if resumed is None else f'delivering {resumed:.1f} s after its end'}"
    )


def _phases(one: Isolation) -> list[tuple[str, Phase]]:
    return [("before", one.before), ("during", one.during), ("after", one.after)]


def _twice(backend: str, tally: Tally) -> list[str]:
    return [
        f"{backend}: {count:,} records are in {one} and in {other}"
        for (one, other), count in tally.twice_in.most_common(_PAIRS)
    ]


def _hostile(backend: Backend, tally: Tally) -> list[str]:
    verdicts = sum(tally.verdicts.values(), Counter())
    if not verdicts:
        return []
    told = ", ".join(f"{outcome} {count:,}" for outcome, count in verdicts.most_common())
    return [f"{backend}: hostile records of {len(tally.verdicts)} kinds: {told}"]


def _limits(ending: Ending) -> list[str]:
    if ending.limits is None:
        return ["the embedded BigQuery honours every insertId for the whole run; Google promises a minute"]
    lines = [
        f"limit {name}: {one['counted']:,.0f} {one['unit']} counted, {one['refused']:,} refused"
        for name, one in sorted(ending.limits.items())
        if one["refused"]
    ]
    return [*lines, *(f"stored again by BigQuery: {line}" for line in told(ending.forgotten))]


def _recoveries(ending: Ending) -> list[str]:
    return [
        f"{backend}: delivery went on within {max(seconds):.1f} s of each of {len(seconds)} kills and restarts"
        for backend, seconds in ending.recoveries.items()
        if seconds
    ]
