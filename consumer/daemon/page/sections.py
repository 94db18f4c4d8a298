"""The parts of the page, by the id under which each is replaced while it is open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from consumer.daemon.page.amounts import clock, duration, moment, number, size
from consumer.daemon.page.chart import chart, spark
from consumer.daemon.page.history import SECONDS, STEP_SECONDS, History, Limits, Point
from consumer.daemon.page.markup import Markup, html, join, masked
from consumer.daemon.page.told import Shard, Told
from consumer.daemon.page.verdict import Tone, ranked_reasons, state_of, verdict_of
from consumer.settings import Settings
from consumer.settings.kcl_table import KCL_KEYS
from consumer.settings.model import DEFAULT_ORIGIN
from consumer.settings.table import SETTINGS
from consumer.settings.values import Text

_SHARDS = 200
"""More are not drawn: those that are well are left out."""
_MARKS = {Tone.WELL: "✓", Tone.WATCH: "!", Tone.ILL: "✕"}
_POINTS_A_MINUTE = int(60 / STEP_SECONDS)
_SPARK_POINTS = int(SECONDS / STEP_SECONDS / 4)
_MIB = 1024.0 * 1024
_SECRET = re.compile(r"((?:password|secret|token|credential|key)[\w.-]*[=:])\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another application on this host, what it has said last, and its http.port."""

    application: str
    told: Told
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that the page is made of."""

    told: Told
    history: History
    limits: Limits
    peers: Sequence[Peer]
    runbook_url: str | None
    dead_letters_in: str


def sections(view: View) -> dict[str, Markup]:
    return {
        "headline": _headline(view),
        "facts": _facts(view),
        "reasons": _reasons(view.told),
        "charts": _charts(view.history, view.told.updated_at),
        "shards": _shards(view),
        "dead-letters": _dead_letters(view),
        "checkpoints": _checkpoints(view.history),
        "happenings": _happenings(view.history),
        "peers": _peers(view),
        "updated": html(
            'Updated <time datetime="{at}Z">{at}</time> UTC, worker <b>{worker}</b>',
            at=clock(view.told.updated_at),
            worker=view.told.worker_id,
        ),
    }


def title(told: Told) -> str:
    verdict = verdict_of(told)
    return f"{_MARKS[verdict.tone]} {verdict.state} · {told.application}"


def _headline(view: View) -> Markup:
    verdict = verdict_of(view.told)
    todo = None
    if verdict.todo:
        todo = html(
            "<p><b>What to do:</b> {todo} {more}</p>", todo=verdict.todo, more=_runbook(view, verdict.runbook)
        )
    return html(
        '{word}<p class="says">{says}</p>{todo}',
        word=_word(verdict.state, verdict.tone),
        says=verdict.says,
        todo=todo,
    )


def _runbook(view: View, heading: str | None) -> Markup | None:
    if heading is None:
        return None
    page = f"docs/runbook.md#{heading}"
    if view.runbook_url is None:
        return html("More: <code>{page}</code>", page=page)
    return html('<a href="{url}#{heading}">Runbook: {heading}</a>', url=view.runbook_url, heading=heading)


def _word(state: str, tone: Tone) -> Markup:
    """Its mark tells the tone where colour does not."""
    return html(
        '<span class="word {tone}"><span aria-hidden="true">{mark}</span> {state}</span>',
        tone=tone,
        mark=_MARKS[tone],
        state=state,
    )


def _facts(view: View) -> Markup:
    told, history = view.told, view.history
    last = history.points[-1] if history.points else None
    behind = [shard.behind_latest_seconds for shard in told.shards if shard.behind_latest_seconds is not None]
    dead = history.dead_by_reason.total()
    lately = sum(point.dead_letters for point in list(history.points)[-_POINTS_A_MINUTE:]) * STEP_SECONDS
    return join(
        html('<div class="{kind}"><dt>{name}</dt><dd>{value}</dd><dd class="small">{more}</dd></div>', **fact)
        for fact in (
            {
                "kind": "first",
                "name": "Freshness",
                "value": "–" if told.freshness_seconds is None else duration(told.freshness_seconds),
                "more": "age of the oldest record that is not delivered",
            },
            {
                "kind": "",
                "name": "Delivered",
                "value": f"{number(last.delivered if last else 0)}/s",
                "more": f"of {number(last.read if last else 0)} records read a second",
            },
            {
                "kind": "",
                "name": "Reading behind",
                "value": duration(max(behind)) if behind else "–",
                "more": "the tip of the stream, at the last read",
            },
            {
                "kind": "",
                "name": "In flight",
                "value": size(sum(shard.in_flight_bytes for shard in told.shards)),
                "more": f"of {size(view.limits.bytes)} for each of {number(len(told.shards))} shards",
            },
            {
                "kind": "",
                "name": "Dead letters",
                "value": number(dead),
                "more": f"{number(round(lately))} in the last minute",
            },
            {
                "kind": "",
                "name": "JVM restarts",
                "value": number(told.jvm.restarts),
                "more": f"since {moment(told.started_at, told.updated_at)} UTC",
            },
        )
    )


_ELSEWHERE = (": trying again: ", " dead letters (")
"""Notes that stand with the shards and the dead letters as well."""


def _reasons(told: Told) -> Markup:
    said = [(Tone.ILL, reason) for reason in ranked_reasons(told)]
    said += [(Tone.WATCH, note) for note in told.notes if not any(one in note for one in _ELSEWHERE)]
    if told.jvm.last_error is not None:
        error = told.jvm.last_error
        said.append((Tone.WATCH, f"the KCL's last error, at {clock(error.at)} UTC: {error.message}"))
    if not said:
        return html('<p class="quiet">Nothing.</p>')
    shown = [
        html('<li class="{tone}"><span aria-hidden="true">{mark}</span> {text}</li>', tone=tone, mark=_MARKS[tone],
             text=_public(text))
        for tone, text in said[:_SHARDS]
    ]  # fmt: skip
    left = len(said) - len(shown)
    more = (
        html('<li>and {left} more in <a href="status.json">status.json</a></li>', left=left)
        if left > 0
        else None
    )
    return html("<ul>{shown}{more}</ul>", shown=shown, more=more)


def _public(text: str) -> str:
    """Without pieces of records, which stand in the details of dead letters."""
    return masked(text) if "held: " in text or " dead letters (" in text else text


def _charts(history: History, now: float) -> Markup:
    def line(value: Callable[[Point], float | None]) -> list[tuple[float, float | None]]:
        return [(point.at, value(point)) for point in history.points]

    drawn = (
        ("Freshness", [("now", line(lambda point: point.freshness))], duration),
        (
            "Records a second",
            [("delivered", line(lambda point: point.delivered)), ("read", line(lambda point: point.read))],
            number,
        ),
        (
            "In flight",
            [("now", line(lambda point: point.in_flight_bytes / _MIB))],
            lambda amount: f"{number(amount)} MiB",
        ),
        ("Dead letters a second", [("now", line(lambda point: point.dead_letters))], number),
    )
    return join(
        chart(name, lines, until=now, seconds=SECONDS, gap=4 * STEP_SECONDS, words=words)
        for name, lines, words in drawn
    )


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


def _shards(view: View) -> Markup:
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
        _word(state, tone),
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


def _dead_letters(view: View) -> Markup:
    history = view.history
    if not history.dead_by_reason and not history.dead_letters:
        return html('<p class="quiet">None since the daemon started.</p>')
    reasons = _table(
        "By reason",
        ("Reason", "Number"),
        [(reason, number(count)) for reason, count in history.dead_by_reason.most_common()],
    )
    samples = [
        html(
            '<li><details id="dead-{key}"><summary>{at} <b>{reason}</b> <span>{shard}</span> '
            "<code>{position}</code></summary><p>{detail}</p></details></li>",
            key=f"{letter.shard}-{letter.position}",
            at=clock(letter.at),
            reason=letter.reason,
            shard=letter.shard,
            position=letter.position,
            detail=masked(letter.detail),
        )
        for letter in reversed(history.dead_letters)
    ]
    return html(
        '<div class="split"><div>{reasons}</div><div><h3>The newest</h3><ul class="samples">{samples}</ul>'
        '<p class="quiet">Quoted pieces of records are masked; whole in <code>{place}</code></p></div></div>',
        reasons=reasons,
        samples=samples or html("<li>–</li>"),
        place=view.dead_letters_in,
    )


def _checkpoints(history: History) -> Markup:
    if not history.checkpoints:
        return html('<p class="quiet">None yet.</p>')
    return _table(
        "Checkpoints, the newest first",
        ("At (UTC)", "Shard", "After", "Records"),
        [
            (
                clock(one.at),
                one.shard,
                "–" if one.since_last is None else duration(one.since_last),
                "–" if one.records is None else number(one.records),
            )
            for one in reversed(history.checkpoints)
        ],
    )


def _happenings(history: History) -> Markup:
    if not history.happenings:
        return html('<p class="quiet">Nothing yet.</p>')
    return html(
        "<ol>{lines}</ol>",
        lines=[
            html(
                '<li><time datetime="{at}Z">{at}</time> {text}</li>', at=clock(one.at), text=_public(one.text)
            )
            for one in reversed(history.happenings)
        ],
    )


def _peers(view: View) -> Markup:
    if not view.peers:
        return html('<span class="quiet">No other daemon runs here.</span>')
    return join(_peer(peer) for peer in view.peers)


def _peer(peer: Peer) -> Markup:
    verdict = verdict_of(peer.told)
    fresh = peer.told.freshness_seconds
    return html(
        '<a href="peer?{application}">{application}</a> {word} <span class="quiet">{fresh}</span> ',
        application=peer.application,
        word=_word(verdict.state, verdict.tone),
        fresh="" if fresh is None else f"freshness {duration(fresh)}",
    )


def settings_table(settings: Settings) -> Markup:
    """Those in force. What may be a secret is left out."""
    return _table(
        "Settings in force",
        ("Setting", "Value", "From"),
        [
            (key, _shown(settings, key), settings.origins.get(key, DEFAULT_ORIGIN))
            for key in sorted(settings.values, key=str.lower)
        ],
    )


def _shown(settings: Settings, key: str) -> str:
    text = settings.texts.get(key, str(settings.values[key]))
    row = SETTINGS.get(key) or KCL_KEYS.get(key)
    if settings.origins.get(key, DEFAULT_ORIGIN) == DEFAULT_ORIGIN:
        return text
    if row is None or (isinstance(row.kind, Text) and not row.kind.shown):
        return "not shown"
    return _SECRET.sub(r"\1•••", text)


def _table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
    return html(
        '<div class="scroll" role="group" tabindex="0" aria-label="{caption}"><table><caption>{caption}</caption>'
        "<thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table></div>",
        caption=caption,
        columns=[html('<th scope="col">{name}</th>', name=name) for name in columns],
        rows=[
            html("<tr>{cells}</tr>", cells=[html("<td>{cell}</td>", cell=cell) for cell in row])
            for row in rows
        ],
    )
