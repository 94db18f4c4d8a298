"""Applications as tables in a terminal, or as aligned text where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from consumer.daemon.commands.application import Application, Row
from consumer.daemon.page.amounts import clock, duration, number, size
from consumer.daemon.page.markup import masked
from consumer.daemon.page.verdict import Tone
from consumer.daemon.report.log import escaped

_STYLES = {Tone.WELL: "green", Tone.WATCH: "yellow", Tone.ILL: "bold red"}
_MARKS = {Tone.WELL: "✓", Tone.WATCH: "!", Tone.ILL: "✕"}
_WIDE = 240
"""Characters of a line where no terminal says how many it has: nothing is wrapped that one searches or cuts."""
_REASONS = 20
_CHECKPOINT_DIGITS = 12


def print_plain(applications: Sequence[Application]) -> None:
    """Once, to standard output; with colours where that is a terminal."""
    console = _console()
    console.print(_drawn(applications, is_terminal=console.is_terminal))


@contextmanager
def live() -> Iterator[Callable[[Sequence[Application]], None]]:
    """A screen of its own, within the block; what was there comes back after it. Each call draws anew."""
    console = _console()
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as screen:
        screen.update(Text("looking …"), refresh=True)

        def draw(applications: Sequence[Application]) -> None:
            hint = Text("q or Ctrl-C ends", style="dim")
            screen.update(Group(_drawn(applications, is_terminal=True), hint), refresh=True)

        yield draw


def _console() -> Console:
    return Console(
        highlight=False, width=None if sys.stdout.isatty() else _WIDE, soft_wrap=not sys.stdout.isatty()
    )


def _drawn(applications: Sequence[Application], *, is_terminal: bool) -> RenderableType:
    return Group(*(part for one in applications for part in _application(one, is_terminal=is_terminal)))


def _application(application: Application, *, is_terminal: bool) -> Iterator[RenderableType]:
    verdict, fresh = application.verdict, application.freshness_seconds
    style = _STYLES[verdict.tone]
    yield Text.assemble(
        (f"{_MARKS[verdict.tone]} {escaped(verdict.state)}", style),
        ("  " + escaped(application.name), "bold"),
        f"  freshness {'unknown' if fresh is None else duration(fresh)}  ",
        (f"at {clock(application.at)} UTC", "dim"),
    )
    yield Text(escaped(verdict.says), style="bold" if verdict.tone is Tone.ILL else "")
    if verdict.todo:
        more = f" More: docs/runbook.md#{verdict.runbook}" if verdict.runbook else ""
        yield Text(f"What to do: {escaped(verdict.todo)}{more}")
    reasons = list(application.reasons())
    for reason in reasons[:_REASONS]:
        yield Text(f"- {escaped(masked(reason) if _quotes_records(reason) else reason)}")
    if len(reasons) > _REASONS:
        yield Text(f"- and {len(reasons) - _REASONS} more: --json has them")
    if application.rows:
        yield _table(application.rows, is_terminal=is_terminal)
    for row in application.rows:
        if row.local is None and row.trouble is not None:
            yield Text(f"- {escaped(row.shard)}: {escaped(row.trouble)}", style="yellow")
    yield Text("")


def _quotes_records(text: str) -> bool:
    return "held: " in text or " dead letters (" in text


def _table(rows: Sequence[Row], *, is_terminal: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("Shard", "State"):
        table.add_column(name, no_wrap=True)
    for name in ("Freshness", "Records/s", "In flight", "Dead letters"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Owner")
    table.add_column("Checkpoint", no_wrap=True)
    for row in rows:
        local = row.local
        table.add_row(
            Text(escaped(row.shard)),
            Text(f"{_MARKS[row.tone]} {escaped(row.state)}", style=_STYLES[row.tone]),
            "" if row.freshness_seconds is None else duration(row.freshness_seconds),
            "" if row.rate is None else number(row.rate),
            "" if local is None else size(local.in_flight_bytes),
            "" if local is None else number(local.counters.get("dead_letters", 0)),
            Text("nobody", style="red")
            if row.owner is None and row.is_read is False
            else Text(escaped(row.owner or "")),
            Text(_short(row.checkpoint, is_terminal=is_terminal)),
        )
    return table


def _short(checkpoint: str | None, *, is_terminal: bool) -> str:
    """The end of a sequence number, which is what differs; whole where there is no terminal to be narrow."""
    text = escaped(checkpoint or "none yet")
    return text if not is_terminal or not text.isdecimal() else f"…{text[-_CHECKPOINT_DIGITS:]}"
