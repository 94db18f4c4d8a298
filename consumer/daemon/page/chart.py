"""Lines over time as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consumer.daemon.page.markup import Markup, html, join

_WIDTH, _HEIGHT = 600, 100
"""In the units of the drawing, which is stretched to its place."""

type Line = Sequence[tuple[float, float | None]]
"""Moments in seconds since the epoch, and values; None breaks the line."""


def chart(
    title: str,
    lines: Sequence[tuple[str, Line]],
    *,
    until: float,
    seconds: float,
    gap: float,
    words: Callable[[float], str],
) -> Markup:
    """A figure whose caption says in `words` what is drawn. It ends at `until`; points further apart than `gap` seconds
    are not joined."""
    values = [value for _, line in lines for _, value in line if value is not None]
    top = _round_up(max(values, default=0.0))
    drawn = [
        html(
            '<path class="line{place}" d="{path}"/>',
            place=place,
            path=_path(line, until, seconds, gap, top),
        )
        for place, (_, line) in enumerate(lines)
    ]
    legend = [
        html(
            '<span class="key{place}">{name} <b>{now}</b></span> ',
            place=place,
            name=name,
            now=words(line[-1][1]) if line and line[-1][1] is not None else "–",
        )
        for place, (name, line) in enumerate(lines)
    ]
    said = "; ".join(
        f"{name}: at most {words(max(known))}"
        for name, line in lines
        if (known := [value for _, value in line if value is not None])
    )
    return html(
        '<figure><figcaption><span class="title">{title}</span> {legend}</figcaption>'
        '<div class="plot"><span class="top" aria-hidden="true">{top}</span>'
        '<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<path class="grid" d="M0 .5H{width}M0 50H{width}M0 99.5H{width}"/>{drawn}</svg></div>'
        '<p class="axis" aria-hidden="true"><span>15 min ago</span><span>now</span></p></figure>',
        title=title,
        legend=legend,
        top=words(top),
        width=_WIDTH,
        height=_HEIGHT,
        label=f"{title} in the last 15 minutes: {said or 'nothing yet'}",
        drawn=drawn,
    )


def spark(values: Sequence[float], *, most: int, label: str) -> Markup:
    """A small line of as many as `most` values, the newest at the right."""
    top = _round_up(max(values, default=0.0))
    line = [(float(place + most - len(values)), value) for place, value in enumerate(values)]
    return html(
        '<svg class="spark" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<path class="line0" d="{path}"/></svg>',
        width=_WIDTH,
        height=_HEIGHT,
        label=label,
        path=_path(line, most - 1, most - 1, 1.5, top),
    )


def _path(line: Line, until: float, seconds: float, gap: float, top: float) -> Markup:
    parts: list[Markup] = []
    last: float | None = None
    for at, value in line:
        if value is None or at < until - seconds:
            last = None
            continue
        x = _WIDTH * (1 - (until - at) / seconds)
        y = (_HEIGHT - 1) * (1 - value / top) + 0.5 if top else _HEIGHT - 0.5
        step = "L" if last is not None and at - last <= gap else "M"
        parts.append(Markup(f"{step}{x:.0f} {y:.1f}"))
        last = at
    if len(parts) == 1:
        parts.append(Markup("h1"))
    return join(parts)


def _round_up(value: float) -> float:
    """1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(f"{value:.0f}") - 1) if value >= 1 else 0.1
    return next((step * power for step in (1, 2, 5, 10) if value <= step * power), 10 * power)
