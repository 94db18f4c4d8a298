"""Dead letters for people to read: nothing that a payload holds reaches a terminal as a control character."""

import re
from collections.abc import Iterator

from consumer.domain.excerpts import excerpt
from consumer.operate.dead_letters.letters import Letter
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import Limits

_LONGEST = 20_000
"""Characters of a payload that are shown."""
_DEEPEST_INDENT = 40
_SAMPLE = 120

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_LETTER, _DIGIT = re.compile(rb"[A-Za-z\x80-\xff]"), re.compile(rb"[0-9]")


class Renderer:
    """With `mask` every value is replaced, and names, brackets and punctuation stay."""

    def __init__(self, *, mask: bool) -> None:
        self._mask = mask
        self._judge = Judge(Limits(max_depth=100_000))

    def lines(self, letter: Letter) -> Iterator[str]:
        """One letter, a line after the other."""
        key = "***" if self._mask else _printable(letter.partition_key)
        yield f"{letter.shard} {letter.position}{f'#{letter.piece}' if letter.piece else ''}  key {key}"
        yield f"  arrived {letter.arrived_at}, {letter.reason}{self._detail(letter.detail)}"
        for refusal in letter.refusals:
            yield f"  redriven {refusal.at}, {refusal.reason}{self._detail(refusal.detail)}"
        text = self.payload(letter.payload)
        for line in excerpt(text, _LONGEST).split("\n"):
            yield f"  {line}"
        yield ""

    def payload(self, payload: bytes) -> str:
        """JSON over several lines, anything else as bytes with escapes."""
        if self._judge.fault(payload) is None:
            return _indented(self._tokens(payload.decode()))
        return _escaped(_masked_bytes(payload) if self._mask else payload)

    def sample(self, payload: bytes) -> str:
        """The beginning, on one line."""
        if self._judge.fault(payload) is not None:
            return excerpt(self.payload(payload), _SAMPLE)
        return excerpt("".join(self._tokens(payload.decode())), _SAMPLE)

    def as_object(self, letter: Letter) -> dict[str, object]:
        """For JSON."""
        return {
            "shard": letter.shard,
            "sequence_number": letter.sequence_number,
            "sub_sequence_number": letter.sub_sequence_number,
            "partition_key": "***" if self._mask else letter.partition_key,
            "arrived_at": letter.arrived_at,
            "reason": letter.reason,
            "detail": "" if self._mask else letter.detail,
            "refusals": [
                {"at": one.at, "reason": one.reason, "detail": "" if self._mask else one.detail}
                for one in letter.refusals
            ],
            "payload": self.payload(letter.payload) if self._mask else _text_of(letter.payload),
            "bytes": len(letter.payload),
        }

    def _detail(self, detail: str) -> str:
        """It quotes the payload."""
        return "" if self._mask or not detail else f": {_printable(detail)}"

    def _tokens(self, text: str) -> Iterator[str]:
        tokens = _TOKEN.findall(text)
        for index, token in enumerate(tokens):
            is_name = index + 1 < len(tokens) and tokens[index + 1] == ":"
            yield _masked(token) if self._mask and not is_name else _printable(token)


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


def _escaped(payload: bytes) -> str:
    """Text where it is UTF-8, escapes for every other byte and for what is not printable."""
    return _printable(payload.decode("utf-8", "backslashreplace"))


def _text_of(payload: bytes) -> str:
    return payload.decode("utf-8", "backslashreplace")


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
