"""`checkpoint BACKEND undo`: puts back what a `set` has changed, unless the application has read on since."""

from __future__ import annotations

from collections.abc import Mapping

from consumer.operate.action import Action
from consumer.operate.checkpoint import journal
from consumer.operate.checkpoint.plan import LeaseChange, Row, renewed, same_position
from consumer.operate.checkpoint.setting import Writing, bucket_of, carry_out, tables_of
from consumer.operate.checkpoint.tables import Counts, Tables, refuse_daemon_here
from consumer.operate.errors import Refused


def undo(action: Action) -> int:
    kept = journal.read(bucket_of(action), action.options.of, action.application)
    if not action.options.dry_run:
        refuse_daemon_here(action.settings)
    tables = tables_of(action)
    rows = tables.rows()
    # counts first: with them a replay adds no row, wherever it begins
    writing = Writing(_leases(kept, rows), _counts(kept, tables), counts_first=True)
    if not writing.total:
        action.console.say("nothing to undo: all of it is as it was")
        return 0
    count = len(writing.leases)
    leases = f"{count} lease{'' if count == 1 else 's'}"
    what = f"put back {leases} of {action.application}, as before {action.options.of}"
    return carry_out(action, tables, rows, writing, what, before=None)


def _leases(kept: journal.Journal, rows: Mapping[str, Row]) -> list[LeaseChange]:
    undone = []
    for change in kept.leases:
        before, present = change.before, rows.get(change.shard)
        if same_position(present, before):
            continue
        if not same_position(present, change.after):
            raise _has_read_on(change.shard)
        back = None if before is None else renewed(before, present or before)
        undone.append(LeaseChange(change.shard, present, back))
    # what was removed comes first: a shard may be read while those that came of it have their leases, not without
    return sorted(undone, key=lambda change: (change.before is not None, change.after is None))


def _counts(kept: journal.Journal, tables: Tables) -> list[tuple[Counts, str | None]]:
    present = {one.shard: one for one in tables.counts([one.shard for one in kept.counts])}
    changes: list[tuple[Counts, str | None]] = []
    for before in kept.counts:
        now = present.get(before.shard)
        if now is not None and now.state == before.state:
            continue
        if now is None or now.state is not None or now.generation != before.generation + 1:
            raise _has_read_on(before.shard)
        changes.append((now, before.state))
    return changes


def _has_read_on(shard: str) -> Refused:
    return Refused(
        f"{shard} was read on since, or moved by somebody else: what was cannot be put back. `checkpoint set --to`"
        " moves it to a time"
    )
