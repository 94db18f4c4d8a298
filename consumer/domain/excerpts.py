"""Texts that somebody else has written, cut to a length that a log, a status and a dead letter can hold."""

_CUT_OFF = "…"


def excerpt(text: str, characters: int) -> str:
    """At most so many characters; the last one of a text that was longer says so."""
    return text if len(text) <= characters else text[: characters - 1] + _CUT_OFF
