"""`checkpoint BACKEND set`: moves positions while no worker runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from consumer.operate.action import EXIT_FAILED, Action
from consumer.operate.bucket import Bucket
from consumer.operate.checkpoint import journal
from consumer.operate.checkpoint.effects import Move, consequences, table
from consumer.operate.checkpoint.locator import Locator
from consumer.operate.checkpoint.places import END, START, Goal, Place, Word
from consumer.operate.checkpoint.plan import (
    Cut,
    Found,
    LeaseChange,
    Locate,
    Row,
    cut,
    is_not_begun,
    lease_changes,
    merged_into,
)
from consumer.operate.checkpoint.tables import Counts, Tables, refuse_daemon_here
from consumer.operate.chunk_boundaries import ChunkBoundaries
from consumer.operate.errors import Refused
from consumer.operate.moments import past, written, written_ms
from consumer.operate.patience import Patience
from consumer.operate.stream import Shard, Stream
from consumer.sinks.aws import encryption_options


@dataclass(slots=True)
class Writing:
    """What is written to the tables, in this order; counts become these. `wrote` tells how many there are by now."""

    leases: Sequence[LeaseChange]
    counts: Sequence[tuple[Counts, str | None]]
    counts_first: bool = False
    wrote: int = 0

    @property
    def total(self) -> int:
        return len(self.leases) + len(self.counts)

    def numbers(self) -> dict[str, int]:
        return {"leases": len(self.leases), "counts": len(self.counts)}

    def write(self, tables: Tables, is_stopping: Callable[[], bool]) -> None:
        """Raises Refused, Trouble or DeliveryError."""
        leases = [partial(tables.write, one) for one in self.leases]
        counts = [partial(tables.put_counts, one, state) for one, state in self.counts]
        for step in [*counts, *leases] if self.counts_first else [*leases, *counts]:
            if is_stopping():
                return
            step()
            self.wrote += 1


def set_positions(action: Action) -> int:
    tables, stream = tables_of(action), Stream(action.settings, patience_of(action))
    if not action.options.dry_run:
        refuse_daemon_here(action.settings)
    rows = tables.rows()
    if not rows:
        raise Refused(
            f"{action.application} has no leases: no worker has ever read the stream under that applicationName"
        )
    with action.progress("shards looked at") as progress:
        plan = _Planner(action, stream, rows, looked=progress.add).plan()
    counts = [one for one in tables.counts(plan.touched()) if one.state is not None]
    for line in plan.lines(method_of(action)):
        action.console.say(line)
    if not plan.changes and not counts:
        action.console.say(f"{action.application} is there already: nothing to change")
        return 0
    writing = Writing(plan.changes, [(one, None) for one in counts])
    what = f"set {_shards(len(plan.moves))} of {action.application} to {plan.goal}"
    return carry_out(action, tables, rows, writing, what, before=tuple(counts))


def carry_out(
    action: Action,
    tables: Tables,
    rows: Mapping[str, Row],
    writing: Writing,
    what: str,
    *,
    before: tuple[Counts, ...] | None,
) -> int:
    """Watches that no worker runs, asks, and writes. `before` are the counts to be kept for an undo; None for an undo,
    which keeps nothing."""
    if not action.options.dry_run:
        with action.progress("leases") as progress:
            progress.step(
                f"watching the leases for {tables.watched_seconds():.0f} s: no worker may renew one meanwhile"
            )
            tables.refuse_while_renewed(rows)
    entry = action.approved(what, writing.numbers())
    if entry is None:
        return 0
    again = ""
    if before is not None:
        key = journal.key_beside(entry.key)
        kept = journal.Journal(application=action.application, leases=tuple(writing.leases), counts=before)
        again = f". To take it back: {action.command_line('checkpoint', 'undo', f'--of={key}')}"
    state: Any = "failed"
    try:
        if before is not None:
            journal.keep(bucket_of(action), key, kept)
        with action.in_order():
            writing.write(tables, lambda: action.stopping)
        state = "stopped" if writing.wrote < writing.total else "done"
    except Refused as refused:
        raise Refused(f"{refused}. {_so_far(writing)}{again}") from refused
    finally:
        entry.end(state, {**writing.numbers(), "written": writing.wrote})
    if state == "stopped":
        action.console.say(f"stopped: {_so_far(writing)}{again}")
        return EXIT_FAILED
    action.console.say(f"done: {action.application} goes on there at its next start{again}")
    return 0


@dataclass(slots=True)
class _Plan:
    goal: str
    cut: Cut
    changes: list[LeaseChange]
    moves: list[Move]
    notes: list[str] = field(default_factory=list)

    def touched(self) -> list[str]:
        """Shards whose records come from elsewhere than before."""
        return sorted({*self.cut.at, *self.cut.below, *(change.shard for change in self.changes)})

    def lines(self, method: str) -> list[str]:
        removed = [change.shard for change in self.changes if change.after is None]
        return [
            *table(self.moves, removed),
            *self.notes,
            *consequences(method, [move for move in self.moves if move.way != "stays"], removed),
        ]


class _Planner:
    def __init__(
        self, action: Action, stream: Stream, rows: Mapping[str, Row], *, looked: Callable[[], object]
    ) -> None:
        """`looked` is called for each shard that was looked at."""
        self._action = action
        self._looked = looked
        self._stream = stream
        self._rows = rows
        self._shards = stream.shards()
        self._goal: Goal = action.options.to
        self._aligned: set[str] = set()
        self._notes: list[str] = []
        self._locator = _locator(action, stream)

    def plan(self) -> _Plan:
        chosen = self._cut()
        changes = lease_changes(self._shards, self._rows, chosen)
        ended = [change.shard for change in changes if change.after and Place.of_row(change.after) == END]
        moves = [
            self._move(name, found)
            for name, found in {**chosen.at, **dict.fromkeys(ended, Found(END))}.items()
        ]
        return _Plan(self._text(), chosen, changes, sorted(moves, key=lambda move: move.shard), self._notes)

    def _cut(self) -> Cut:
        names = self._named()
        if isinstance(self._goal, Place) and len(names) != 1:
            raise Refused("a sequence number belongs to one shard: name it by --shards")
        locate = self._telling(self._locate())
        if self._goal is Word.CURRENT:
            names = names or [name for name in self._shards if self._present(name) not in (None, END)]
        elif not names:
            return cut(self._shards, locate)
        at = {}
        for name in names:
            self._refuse_alone(self._shards[name])
            found = locate(self._shards[name])
            if found is None:
                raise Refused(self._why_not(name))
            at[name] = found
        return Cut(at)

    def _refuse_alone(self, shard: Shard) -> None:
        if is_not_begun(shard, self._shards, self._rows):
            raise Refused(
                f"{shard.id} has no lease yet: the KCL makes it when its parents were read to their end"
            )
        child = None if self._goal is Word.CURRENT else merged_into(shard, self._shards, self._rows)
        if child is not None:
            raise Refused(
                f"{shard.id} was merged into {child}, which is being read: it cannot come alone. Leave --shards out"
            )

    def _named(self) -> list[str]:
        names = list(dict.fromkeys(self._action.options.shards))
        unknown = [name for name in names if name not in self._shards]
        if unknown:
            raise Refused(
                f"stream {self._action.settings.stream_name} has no shard {', '.join(unknown)}; it has"
                f" {', '.join(sorted(self._shards)[:8])}{' …' if len(self._shards) > 8 else ''}"
            )
        return names

    def _why_not(self, name: str) -> str:
        if self._goal is Word.CURRENT:
            return f"{name} has no lease any more: it was read to its end"
        return (
            f"{name} has ended before {self._text()}: name the shards that came of it, or leave --shards out"
        )

    def _telling(self, locate: Locate) -> Locate:
        def located(shard: Shard) -> Found | None:
            self._looked()
            return locate(shard)

        return located

    def _locate(self) -> Callable[[Shard], Found | None]:
        wanted = self._goal
        if isinstance(wanted, Place):
            return self._at_record(wanted)
        if wanted is Word.CURRENT:
            return self._where_it_is
        time = self._action.now if isinstance(wanted, Word) else past("--to", wanted, self._action.now)
        assert time is not None
        time_ms = round(time.timestamp() * 1000)
        retained = self._stream.retained(self._action.now)
        if wanted is Word.TRIM_HORIZON or time_ms < retained.since_ms:
            if time_ms < retained.since_ms and not retained.whole:
                self._notes.append(
                    f"the stream keeps what has arrived since {written_ms(retained.since_ms)}: reading goes on there,"
                    " and what is older is gone"
                )
            return lambda shard: self._noted(shard, self._locator.behind(shard, START))
        return lambda shard: self._at_time(shard, time_ms)

    def _at_time(self, shard: Shard, time_ms: int) -> Found | None:
        """At the beginning of an object where there is one near: that is what keeps a replay from cutting others."""
        found = self._locator.at_time(shard, time_ms, self._present(shard.id))
        begin = None if found is None else self._locator.begin_of_chunk(shard, found)
        if begin is None:
            return found if found is None else self._noted(shard, found)
        self._aligned.add(shard.id)
        return begin

    def _at_record(self, place: Place) -> Callable[[Shard], Found]:
        def found(shard: Shard) -> Found:
            if place != self._present(shard.id):
                self._locator.refuse_unheld(shard, place.sequence)
            return self._noted(shard, self._locator.behind(shard, place))

        return found

    def _where_it_is(self, shard: Shard) -> Found | None:
        present = self._present(shard.id)
        if present is None:
            return None
        self._aligned.add(shard.id)
        return self._seen(shard, present)

    def _noted(self, shard: Shard, found: Found) -> Found:
        """Notes whether a chunk begins there."""
        if found.next is None or self._locator.is_begin_of_chunk(shard, found):
            self._aligned.add(shard.id)
        return found

    def _move(self, name: str, to: Found) -> Move:
        present = self._present(name)
        was = None if present is None else self._seen(self._shards[name], present)
        return Move(shard=name, was=was, to=to, aligned=name in self._aligned)

    def _seen(self, shard: Shard, place: Place) -> Found:
        return Found(place) if place.ended or place.order() is None else self._locator.behind(shard, place)

    def _present(self, name: str) -> Place | None:
        return Place.of_row(self._rows[name]) if name in self._rows else None

    def _text(self) -> str:
        wanted = self._goal
        if isinstance(wanted, Word):
            return wanted.value
        return str(wanted) if isinstance(wanted, Place) else written(wanted(self._action.now))


def tables_of(action: Action) -> Tables:
    return Tables(action.settings, patience_of(action))


def patience_of(action: Action) -> Patience:
    return Patience(tell=action.console.say)


def _locator(action: Action, stream: Stream) -> Locator:
    if action.settings.backend != "s3":
        return Locator(stream)
    return Locator(
        stream,
        ChunkBoundaries.of(action.settings, bucket_of(action, "s3.bucket")),
        window_ms=round(action.settings.seconds("chunk.window") * 1000),
    )


def bucket_of(action: Action, setting: str = "deadletter.bucket") -> Bucket:
    return Bucket(
        action.s3,
        action.settings.text(setting),
        setting=setting,
        put_options={"ContentType": "application/json", **encryption_options(action.settings)},
        patience=patience_of(action),
    )


def method_of(action: Action) -> str:
    return "s3" if action.settings.backend == "s3" else action.settings.text("bigquery.method")


def _so_far(writing: Writing) -> str:
    if not writing.wrote:
        return "nothing was changed"
    return f"{writing.wrote} of {writing.total} changes are made; started again, it makes the rest"


def _shards(count: int) -> str:
    return f"{count} shard{'' if count == 1 else 's'}"
