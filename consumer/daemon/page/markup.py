"""HTML in pieces that can be put together without a doubt what is text and what is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

_QUOTED = re.compile(r"""(["'`]).*?(?:\1|$)""", re.DOTALL)


class Markup(str):
    """HTML; every other text is escaped on its way into it."""

    __slots__ = ()


def html(template: str, **values: object) -> Markup:
    """The template with its {names} filled: Markup as it is, a sequence of pieces one after the other, None as nothing,
    and anything else escaped, quotes included, so that it may stand in an attribute."""
    return Markup(template.format_map({name: _piece(value) for name, value in values.items()}))


def join(pieces: Iterable[Markup]) -> Markup:
    return Markup("".join(pieces))


def _piece(value: object) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, list | tuple):
        return "".join(map(_piece, value))
    return "" if value is None else _escaped(str(value))


def _escaped(text: str) -> str:
    """Characters that turn or hide the text around them (bidi controls, C0) show as their escapes."""
    return escape("".join(one if one.isprintable() else _named(one) for one in text))


def _named(character: str) -> str:
    return " " if character in "\n\t" else character.encode("unicode_escape").decode("ascii")


def masked(text: str) -> str:
    """What stands in quotes, which may be a piece of a record, as dots."""
    return _QUOTED.sub("\N{LEFT DOUBLE QUOTATION MARK}•••\N{RIGHT DOUBLE QUOTATION MARK}", text)
