"""What a demo tells at its end, as a table and as JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

from consumer.local.bill.invoice import at_list, derived
from consumer.local.bill.prices import Prices
from consumer.local.verify import Result
from consumer.local.waits import Report
from consumer.local.witness import Verdict
from consumer.settings import Backend

_HEADINGS = (
    *("backend", "records", "delivered", "dead letters", "waiting", "lost", "duplicated", "other faults"),
    "in",
)


def summary(verdict: Verdict, *, records: int, seconds: float) -> dict[str, Any]:
    """The summary of `bin/demo --json`; `waiting` is there where records are."""
    return {
        "records": records,
        "s3": _counts(verdict.s3) | {"objects": verdict.objects},
        "bigquery": _counts(verdict.bigquery) | {"tables": verdict.tables},
        "seconds": round(seconds, 1),
    }


def _counts(result: Result) -> dict[str, int]:
    names = ("delivered", "lost", "duplicated", "dead_letters")
    counts = {name: getattr(result, name) for name in names}
    return counts | ({"waiting": result.waiting} if result.waiting else {})


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


def causes(verdict: Verdict, kept: Mapping[Backend, Report], *, look_up: str) -> Iterator[str]:
    """Why records were not delivered: what the dead letters and the backends say, and what to do. `look_up` is the
    command that says which settings fit the records."""
    results: dict[Backend, Result] = {"s3": verdict.s3, "bigquery": verdict.bigquery}
    for backend, result in results.items():
        if result.reasons:
            counts = ", ".join(f"{reason} {count:,}" for reason, count in result.reasons.most_common())
            yield f"{backend}: dead letters by reason: {counts}"
        if result.waiting:
            yield (
                f"{backend}: {result.waiting:,} records wait on the stream behind the checkpoint; they are not lost:"
                " the next start reads them again"
            )
        report = kept.get(backend)
        if result.waiting and report is not None:
            yield from (f"  because {reason}" for reason in report.reasons)
    if any(result.reasons or (result.waiting and backend in kept) for backend, result in results.items()):
        yield f"Which settings fit such records: {look_up}"


def bill(counts: Mapping[str, float], prices: Prices, *, records: int) -> Iterator[str]:
    """What the services would bill for what was counted, a million records, in a few lines."""
    lines = [line for line in at_list(derived(counts), prices) if line[0].kind == "delivery"]
    if not records or not lines:
        return
    millions = records / 1e6
    total = sum(usd for _, _, usd in lines) / millions
    yield f"At {prices.described}, a million of these records would cost {total:.2f} without shards, hosts and storage:"
    for price, quantity, usd in lines:
        unit = " bytes" if price.item.endswith("_bytes") else ""
        yield f"  {usd / millions:.4f}  {price.label} ({quantity:,.0f}{unit} in this run)"


def _row(name: str, result: Result, records: int, where: str) -> tuple[str, ...]:
    other = result.unexpected + result.misplaced
    counts = (
        *(records, result.delivered, result.dead_letters),
        *(result.waiting, result.lost, result.duplicated, other),
    )
    return (name, *(f"{count:,}" for count in counts), where)


def _aligned(line: tuple[str, ...], widths: list[int]) -> str:
    first, *middle, last = (
        text.ljust(width) if index == 0 else text.rjust(width)
        for index, (text, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *middle, last.strip()])
