"""Pieces of markup that several parts of the page have."""

from __future__ import annotations

from collections.abc import Iterable

from consumer.daemon.page.markup import Markup, html, masked
from consumer.daemon.page.verdict import Tone

MARKS = {Tone.WELL: "✓", Tone.WATCH: "!", Tone.ILL: "✕"}


def word(state: str, tone: Tone) -> Markup:
    """Its mark tells the tone where colour does not."""
    return html(
        '<span class="word {tone}"><span aria-hidden="true">{mark}</span> {state}</span>',
        tone=tone,
        mark=MARKS[tone],
        state=state,
    )


def table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
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


def public(text: str) -> str:
    """Without pieces of records, which stand in the details of dead letters."""
    return masked(text) if "held: " in text or " dead letters (" in text else text
