"""Java's .properties syntax, read with line numbers and written with escapes.

Comments (`#`, `!`), `=`, `:` or blank after a key, continuation lines and escapes are those of
java.util.Properties. Two deliberate differences: files are UTF-8, and blanks at the end of a value are
dropped, because Java keeps them and nobody sees them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_BLANKS = " \t\f"
_LINE_END = re.compile(r"\r\n|\r|\n")
_KEY = re.compile(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*(?:[=:][ \t\f]*)?(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_NAMED_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One key and value, and the line (from one) on which the key stands."""

    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that java.util.Properties would refuse."""

    line: int
    message: str


def parse(text: str) -> Iterator[Entry | Malformed]:
    """The entries of a file in order, keys set twice included, and the lines that are none."""
    for line, content in _logical_lines(text):
        match = _KEY.fullmatch(content)
        key, value = (match[1], match[2]) if match is not None else (content, "")
        try:
            yield Entry(_unescaped(key), _unescaped(_without_trailing_blanks(value)), line)
        except ValueError as error:
            yield Malformed(line, str(error))


def render(properties: Mapping[str, str]) -> str:
    """A file that java.util.Properties reads as these properties, in pure ASCII (Java reads files as ISO
    8859-1)."""
    return "".join(
        f"{_escaped(key, _KEY_SPECIAL)}={_escaped_value(value)}\n" for key, value in properties.items()
    )


_KEY_SPECIAL = frozenset("\\=:#! ")
_VALUE_SPECIAL = frozenset("\\")
_ESCAPE_NAMES = {value: "\\" + name for name, value in _NAMED_ESCAPES.items()}


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    lines = enumerate(_LINE_END.split(text), start=1)
    for number, natural in lines:
        content = natural.lstrip(_BLANKS)
        if not content or content[0] in "#!":
            continue
        while _continues(content):
            following = next(lines, None)
            content = content[:-1] + ("" if following is None else following[1].lstrip(_BLANKS))
        yield number, content


def _continues(content: str) -> bool:
    """An odd number of backslashes at its end makes a line go on in the next."""
    return (len(content) - len(content.rstrip("\\"))) % 2 == 1


def _without_trailing_blanks(value: str) -> str:
    """A blank after a backslash is escaped, so it stays."""
    stripped = value.rstrip(_BLANKS)
    return stripped + value[len(stripped) : len(stripped) + 1] if _continues(stripped) else stripped


def _unescaped(text: str) -> str:
    characters = _ESCAPE.sub(_character, text)
    try:
        return characters.encode("utf-16-be", "surrogatepass").decode("utf-16-be")
    except UnicodeDecodeError:
        raise ValueError("half of a surrogate pair stands alone") from None


def _character(match: re.Match[str]) -> str:
    name = match[1]
    if name == "u":
        raise ValueError(r"\u is not followed by four hexadecimal digits")
    if len(name) > 1:
        return chr(int(name[1:], 16))
    return _NAMED_ESCAPES.get(name, name)


def _escaped_value(value: str) -> str:
    body = value.strip(" ")
    if not body:
        return "\\ " * len(value)
    leading = len(value) - len(value.lstrip(" "))
    trailing = len(value) - leading - len(body)
    return "\\ " * leading + _escaped(body, _VALUE_SPECIAL) + "\\ " * trailing


def _escaped(text: str, special: Iterable[str]) -> str:
    return "".join(_escaped_character(character, special) for character in text)


def _escaped_character(character: str, special: Iterable[str]) -> str:
    if character in special:
        return "\\" + character
    if character in _ESCAPE_NAMES:
        return _ESCAPE_NAMES[character]
    if " " <= character <= "~":
        return character
    utf16 = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{utf16[at] << 8 | utf16[at + 1]:04x}" for at in range(0, len(utf16), 2))
