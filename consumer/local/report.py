"""What a demo tells at its end, as a table and as JSON."""

from typing import Any

from consumer.local.verify import Result
from consumer.local.witness import Verdict

_HEADINGS = ("backend", "records", "delivered", "dead letters", "lost", "duplicated", "other faults", "in")


def summary(verdict: Verdict, *, records: int, seconds: float) -> dict[str, Any]:
    """The summary of `bin/demo --json`."""
    return {
        "records": records,
        "s3": _counts(verdict.s3) | {"objects": verdict.objects},
        "bigquery": _counts(verdict.bigquery) | {"tables": verdict.tables},
        "seconds": round(seconds, 1),
    }


def _counts(result: Result) -> dict[str, int]:
    names = ("delivered", "lost", "duplicated", "dead_letters")
    return {name: getattr(result, name) for name in names}


def table(verdict: Verdict, *, records: int, seconds: float) -> str:
    """A few lines for people: one row a backend, findings below."""
    rows = sum(verdict.rows.values())
    lines = [
        _HEADINGS,
        _row("s3", verdict.s3, records, f"{verdict.objects:,} objects"),
        _row("bigquery", verdict.bigquery, records, f"{rows:,} rows in {verdict.tables} tables"),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [_aligned(line, widths) for line in lines]
    for name, result in (("s3", verdict.s3), ("bigquery", verdict.bigquery)):
        text += [f"{name}: {example}" for example in result.examples]
    outcome = "every record exactly once" if verdict.clean else "NOT every record exactly once"
    return "\n".join([*text, f"{outcome}; {seconds:.0f} s"])


def _row(name: str, result: Result, records: int, where: str) -> tuple[str, ...]:
    other = result.unexpected + result.misplaced
    counts = (records, result.delivered, result.dead_letters, result.lost, result.duplicated, other)
    return (name, *(f"{count:,}" for count in counts), where)


def _aligned(line: tuple[str, ...], widths: list[int]) -> str:
    first, *middle, last = (
        text.ljust(width) if index == 0 else text.rjust(width)
        for index, (text, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *middle, last.strip()])
