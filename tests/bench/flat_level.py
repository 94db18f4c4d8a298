"""Level `flat`: whether a record costs more the more records a shard process has delivered."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.backend import Backend, discarding
from tests.bench.cases import Case, Target, usual_case
from tests.bench.kcl import Child
from tests.bench.shard_level import MIB, check_arrived, start

STEPS = 10
_RECORD_BYTES = 200


def measure(
    targets: Sequence[Target], records: int, *, runs: int, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each tenth of the records, by target; raises BenchError when a record did not arrive.

    What else the machine does changes a tenth's cost by more than what is looked for. So the last tenth takes turns,
    message by message, with the second tenth of a younger shard process: `by_second` is the one's cost divided by the
    other's, the median of the runs. A tenth's own cost is the least of the runs, since others only add to it.
    """
    rows: list[dict[str, Any]] = []
    with discarding(folder) as backend:
        for target in targets:
            usual = usual_case(target, _RECORD_BYTES)
            case = replace(usual, input=replace(usual.input, count=records))
            done: list[list[dict[str, Any]]] = []
            for run in range(runs):
                done.append(_tenths(target, case, backend, folder))
                costs = " ".join(str(row["cpu_seconds_per_million"]) for row in done[-1])
                say(
                    f"run {run + 1} of {runs}: {target}: CPU s per million of each tenth: {costs};"
                    f" the last by a second at the same time: {done[-1][-1]['by_second']}"
                )
            rows += [_of_runs(same) for same in zip(*done, strict=True)]
    return rows


def _of_runs(same: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of one tenth in several runs; its memory is the most."""
    costs = [row["cpu_seconds_per_million"] for row in same]
    ratios = [row["by_second"] for row in same if row["by_second"] is not None]
    return {
        **same[0],
        "cpu_seconds_per_million": min(costs),
        "cpu_seconds_per_million_of_runs": costs,
        "by_second": round(median(ratios), 3) if ratios else None,
        "by_second_of_runs": ratios or None,
        "rss_mib": max(row["rss_mib"] for row in same),
    }


class _Delivering:
    """A shard process that is given the case's messages one by one."""

    def __init__(self, child: Child, case: Case) -> None:
        self._child = child
        self._messages = case.input.lines()
        self.records = self.number_sum = 0
        child.initialize()
        self._mark = (0, child.cpu_seconds())

    def one_message(self) -> None:
        message = next(self._messages)
        self._child.call(message.text)
        self.records += message.records
        self.number_sum += message.number_sum

    def until(self, records: float) -> None:
        while self.records < records:
            self.one_message()

    def cost(self) -> float:
        """CPU seconds per million of the records since the last look."""
        before, self._mark = self._mark, (self.records, self._child.cpu_seconds())
        return (self._mark[1] - before[1]) / (self._mark[0] - before[0]) * 1e6

    def rss_mib(self) -> float:
        return round(self._child.rss_bytes() / MIB, 1)

    def end(self) -> None:
        self._child.end_shard()
        self._child.close()


def _tenths(target: Target, case: Case, backend: Backend, folder: Path) -> list[dict[str, Any]]:
    backend.behave()
    step = case.input.count / STEPS
    rows: list[dict[str, Any]] = []

    def add_row(cost: float, by_second: float | None) -> None:
        rows.append(
            {
                "backend": target,
                "records": old.records,
                "cpu_seconds_per_million": round(cost, 2),
                "by_second": by_second,
                "rss_mib": old.rss_mib(),
            }
        )

    with ExitStack() as children:
        old, young = (
            _Delivering(children.enter_context(start(case, backend, _made(folder / name))), case)
            for name in ("old", "young")
        )
        for tenth in range(1, STEPS):
            old.until(tenth * step)
            add_row(old.cost(), None)
        young.until(step)
        young.cost()
        order = [old, young]
        while old.records < case.input.count:
            for each in order:
                each.one_message()
            order.reverse()
        last, second = old.cost(), young.cost()
        add_row(last, round(last / second, 3))
        old.end()
        young.end()
    both = replace(case, input=replace(case.input, count=old.records + young.records))
    check_arrived(both, backend, old.number_sum + young.number_sum)
    return rows


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
