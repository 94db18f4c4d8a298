"""Payloads for people to read: nothing that a record holds reaches a terminal as a control character."""

import re
from collections.abc import Iterator

from consumer.domain.excerpts import excerpt
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import Limits

_DEEPEST_INDENT = 40

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_LETTER, _DIGIT = re.compile(rb"[A-Za-z\x80-\xff]"), re.compile(rb"[0-9]")


class Payloads:
    """With `mask` every value is replaced, and names, brackets and punctuation stay; of what is no JSON, as is the
    beginning of a payload, every letter and digit."""

    def __init__(self, *, mask: bool) -> None:
        self.mask = mask
        self._judge = Judge(Limits(max_depth=100_000))

    def lines(self, payload: bytes) -> str:
        """JSON over several lines, anything else as bytes with escapes."""
        if self._judge.fault(payload) is None:
            return _indented(self._tokens(payload.decode()))
        return self._escaped(payload)

    def line(self, payload: bytes, characters: int) -> str:
        """The beginning, on one line."""
        if self._judge.fault(payload) is not None:
            return excerpt(self._escaped(payload), characters)
        return excerpt("".join(self._tokens(payload.decode())), characters)

    def text(self, payload: bytes) -> str:
        """For JSON, which has escapes of its own: as it came, where it is not masked."""
        return self.lines(payload) if self.mask else payload.decode("utf-8", "backslashreplace")

    def key(self, partition_key: str) -> str:
        return "***" if self.mask else partition_key

    def detail(self, detail: str) -> str:
        """Of a rejection: it quotes the payload."""
        return "" if self.mask else detail

    def _tokens(self, text: str) -> Iterator[str]:
        tokens = _TOKEN.findall(text)
        for index, token in enumerate(tokens):
            is_name = index + 1 < len(tokens) and tokens[index + 1] == ":"
            yield _masked(token) if self.mask and not is_name else printable(token)

    def _escaped(self, payload: bytes) -> str:
        """Text where it is UTF-8, escapes for every other byte and for what is not printable."""
        shown = _masked_bytes(payload) if self.mask else payload
        return printable(shown.decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """With escapes for what a terminal could take as a command, or what is not to be seen."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _masked(token: str) -> str:
    if token.startswith('"'):
        return '"***"'
    return token if token in ("{", "}", "[", "]", ",", ":", "true", "false", "null") else "0"


def _masked_bytes(payload: bytes) -> bytes:
    return _LETTER.sub(b"x", _DIGIT.sub(b"9", payload))


def _indented(tokens: Iterator[str]) -> str:
    made: list[str] = []
    depth, before = 0, ""
    for token in tokens:
        if token in ("}", "]"):
            depth -= 1
            if before not in ("{", "["):
                made.append(_line_begin(depth))
        elif before in ("{", "[", ","):
            made.append(_line_begin(depth))
        made.append(": " if token == ":" else token)
        depth += token in ("{", "[")
        before = token
    return "".join(made)


def _line_begin(depth: int) -> str:
    return "\n" + "  " * min(depth, _DEEPEST_INDENT)
