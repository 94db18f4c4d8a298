"""The table of shards; those that are ill come first."""

from __future__ import annotations

from consumer.daemon.page.amounts import duration, number, size
from consumer.daemon.page.chart import spark
from consumer.daemon.page.elements import word
from consumer.daemon.page.history import SECONDS, STEP_SECONDS
from consumer.daemon.page.markup import Markup, html, join
from consumer.daemon.page.told import Shard
from consumer.daemon.page.verdict import Tone, state_of
from consumer.daemon.page.view import View

_SHARDS = 200
"""More are not drawn: those that are well are left out."""
_SPARK_POINTS = int(SECONDS / STEP_SECONDS / 4)
_COLUMNS = (
    "Shard",
    "State",
    "Freshness",
    "15 min",
    "Reading behind",
    "Records/s",
    "Back pressure",
    "In flight",
    "Checkpoint",
    "Dead letters",
)


def shards(view: View) -> Markup:
    if not view.told.shards:
        return html('<p class="quiet">This worker reads no shard.</p>')
    ranked = sorted(view.told.shards, key=lambda shard: (_RANKS[state_of(view.told, shard)[1]], shard.shard))
    left = len(ranked) - _SHARDS
    return html(
        '<table role="table"><thead role="rowgroup"><tr role="row">{columns}</tr></thead>'
        '<tbody role="rowgroup">{rows}</tbody></table>{more}',
        columns=[html('<th role="columnheader" scope="col">{name}</th>', name=name) for name in _COLUMNS],
        rows=[_shard(view, shard) for shard in ranked[:_SHARDS]],
        more=html("<p>{left} more shards are in status.json.</p>", left=left) if left > 0 else None,
    )


_RANKS = {Tone.ILL: 0, Tone.WATCH: 1, Tone.WELL: 2}


def _shard(view: View, shard: Shard) -> Markup:
    told, known = view.told, view.history.shards.get(shard.shard)
    state, tone = state_of(told, shard)
    behind = shard.behind_latest_seconds
    checkpoint = shard.last_checkpoint_ms
    pressure = shard.back_pressure_share
    if pressure is None:
        pressure = known.back_pressure if known else 0.0
    cells = (
        word(state, tone),
        duration(shard.freshness_seconds),
        spark(
            list(known.freshness) if known else [],
            most=_SPARK_POINTS,
            label=f"freshness of {shard.shard} in the last 15 minutes",
        ),
        "–" if behind is None else duration(behind),
        number(known.delivered_rate if known else 0),
        f"{_pressure(pressure)} {pressure:.0%}",
        f"{shard.in_flight_chunks}/{view.limits.chunks} chunks, {size(shard.in_flight_bytes)}",
        "none yet" if checkpoint is None else f"{duration(told.updated_at - checkpoint / 1000)} ago",
        number(shard.counters.get("dead_letters", 0)),
    )
    row = html(
        '<tr role="row"><th role="rowheader" scope="row">{name}</th>{cells}</tr>',
        name=shard.shard,
        cells=[
            html('<td role="cell" data-label="{name}">{cell}</td>', name=name, cell=cell)
            for name, cell in zip(_COLUMNS[1:], cells, strict=True)
        ],
    )
    if shard.retrying is None:
        return row
    note = html(
        '<tr role="row" class="note"><td role="cell" colspan="{width}">'
        '{name}, tried again: <span class="error">{error}</span></td></tr>',
        width=len(_COLUMNS),
        name=shard.shard,
        error=shard.retrying,
    )
    return join((row, note))


def _pressure(share: float) -> str:
    return "ok" if share <= 0.1 else "low" if share <= 0.5 else "high"
