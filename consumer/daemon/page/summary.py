"""The top of the page: the state in a word, what it means and what to do, the figures, what is wrong, and how the other
daemons of this host fare."""

from __future__ import annotations

from consumer.daemon.page.amounts import clock, duration, moment, number, size
from consumer.daemon.page.elements import MARKS, public, word
from consumer.daemon.page.history import STEP_SECONDS
from consumer.daemon.page.markup import Markup, html, join
from consumer.daemon.page.told import Told
from consumer.daemon.page.verdict import Tone, ranked_reasons, verdict_of
from consumer.daemon.page.view import Peer, View

_POINTS_A_MINUTE = int(60 / STEP_SECONDS)
_REASONS = 200
"""More are not drawn."""


def title(told: Told) -> str:
    verdict = verdict_of(told)
    return f"{MARKS[verdict.tone]} {verdict.state} · {told.application}"


def headline(view: View) -> Markup:
    verdict = verdict_of(view.told)
    todo = None
    if verdict.todo:
        todo = html(
            "<p><b>What to do:</b> {todo} {more}</p>", todo=verdict.todo, more=_runbook(view, verdict.runbook)
        )
    return html(
        '{word}<p class="says">{says}</p>{todo}',
        word=word(verdict.state, verdict.tone),
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


def facts(view: View) -> Markup:
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
                "more": f"of {number(last.read if last else 0)} records read a second"
                + (f", {number(last.filtered)} filtered by the transform" if last and last.filtered else ""),
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


def reasons(told: Told) -> Markup:
    said = [(Tone.ILL, reason) for reason in ranked_reasons(told)]
    said += [(Tone.WATCH, note) for note in told.notes if not any(one in note for one in _ELSEWHERE)]
    if told.jvm.last_error is not None:
        error = told.jvm.last_error
        said.append((Tone.WATCH, f"the KCL's last error, at {clock(error.at)} UTC: {error.message}"))
    if not said:
        return html('<p class="quiet">Nothing.</p>')
    shown = [
        html('<li class="{tone}"><span aria-hidden="true">{mark}</span> {text}</li>', tone=tone, mark=MARKS[tone],
             text=public(text))
        for tone, text in said[:_REASONS]
    ]  # fmt: skip
    left = len(said) - len(shown)
    more = (
        html('<li>and {left} more in <a href="status.json">status.json</a></li>', left=left)
        if left > 0
        else None
    )
    return html("<ul>{shown}{more}</ul>", shown=shown, more=more)


def peers(view: View) -> Markup:
    if not view.peers:
        return html('<span class="quiet">No other daemon runs here.</span>')
    return join(_peer(peer) for peer in view.peers)


def _peer(peer: Peer) -> Markup:
    verdict = verdict_of(peer.told)
    fresh = peer.told.freshness_seconds
    return html(
        '<a href="peer?{application}">{application}</a> {word} <span class="quiet">{fresh}</span> ',
        application=peer.application,
        word=word(verdict.state, verdict.tone),
        fresh="" if fresh is None else f"freshness {duration(fresh)}",
    )
