"""What the last quarter of an hour brought: charts, dead letters, checkpoints, what happened."""

from __future__ import annotations

from collections.abc import Callable

from consumer.daemon.page.amounts import clock, duration, number
from consumer.daemon.page.chart import chart
from consumer.daemon.page.elements import public, table
from consumer.daemon.page.history import SECONDS, STEP_SECONDS, History, Point
from consumer.daemon.page.markup import Markup, html, join, masked
from consumer.daemon.page.view import View

_MIB = 1024.0 * 1024


def charts(history: History, now: float) -> Markup:
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


def dead_letters(view: View) -> Markup:
    history = view.history
    if not history.dead_by_reason and not history.dead_letters:
        return html('<p class="quiet">None since the daemon started.</p>')
    reasons = table(
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


def checkpoints(history: History) -> Markup:
    if not history.checkpoints:
        return html('<p class="quiet">None yet.</p>')
    return table(
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


def happenings(history: History) -> Markup:
    if not history.happenings:
        return html('<p class="quiet">Nothing yet.</p>')
    return html(
        "<ol>{lines}</ol>",
        lines=[
            html(
                '<li><time datetime="{at}Z">{at}</time> {text}</li>', at=clock(one.at), text=public(one.text)
            )
            for one in reversed(history.happenings)
        ],
    )
