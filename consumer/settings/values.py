"""The types a setting's text can have. Each parses text to a value or raises ValueError with a sentence for
its user."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Protocol

type Value = str | int | float | bool

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+)(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_SIZE_UNITS = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_SURROGATE = r"[\ud800-\udfff]"
"""How Python shows bytes of the environment or of a command line that are not UTF-8."""
_TRUE_AND_FALSE = {"true": True, "false": False}


class Kind(Protocol):
    """A type of setting: what its text may be, and the value it stands for."""

    def parse(self, text: str) -> Value:
        """The value of a text; raises ValueError saying what was expected."""

    def describe(self) -> str:
        """The type and range in a few words, for help and reference pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """`500ms`, `60s`, `5m`, `1h`; a value is seconds as float. Limits are texts of the same form, both
    inclusive."""

    at_least: str = "0s"
    at_most: str | None = None

    def parse(self, text: str) -> float:
        value = _seconds(text)
        if value < _seconds(self.at_least):
            raise ValueError(f"{text} is less than {self.at_least}")
        if self.at_most is not None and value > _seconds(self.at_most):
            raise ValueError(f"{text} is more than {self.at_most}")
        return value

    def describe(self) -> str:
        return "duration" + _range(None if self.at_least == "0s" else self.at_least, self.at_most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """`64MiB`, `8MB`, plain bytes; a value is bytes. Limits are texts of the same form, both inclusive."""

    at_least: str = "0"
    at_most: str | None = None

    def parse(self, text: str) -> int:
        value = _bytes(text)
        if value < _bytes(self.at_least):
            raise ValueError(f"{text} is less than {self.at_least}")
        if self.at_most is not None and value > _bytes(self.at_most):
            raise ValueError(f"{text} is more than {self.at_most}")
        return value

    def describe(self) -> str:
        return "size" + _range(None if self.at_least == "0" else self.at_least, self.at_most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """A whole number in decimal digits, both limits inclusive."""

    at_least: int | None = None
    at_most: int | None = None

    def parse(self, text: str) -> int:
        if re.fullmatch(r"-?[0-9]{1,19}", text) is None:
            raise ValueError(f'"{text}" is not a whole number')
        return _within(int(text), self.at_least, self.at_most)

    def describe(self) -> str:
        return "whole number" + _range(self.at_least, self.at_most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A finite decimal number, both limits inclusive."""

    at_least: float | None = None
    at_most: float | None = None

    def parse(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f'"{text}" is not a number')
        return _within(value, self.at_least, self.at_most)

    def describe(self) -> str:
        return "number" + _range(self.at_least, self.at_most)


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`."""

    def parse(self, text: str) -> bool:
        if text not in _TRUE_AND_FALSE:
            raise ValueError(f'"{text}" is neither true nor false')
        return _TRUE_AND_FALSE[text]

    def describe(self) -> str:
        return "true or false"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, spelt as they stand in `options`."""

    options: tuple[str, ...]

    def parse(self, text: str) -> str:
        if text not in self.options:
            raise ValueError(f'"{text}" is none of {", ".join(self.options)}')
        return text

    def describe(self) -> str:
        return " | ".join(self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Any text, or one that matches `pattern` as a whole; `form` says in words what the pattern asks for. A text
    that may hold a secret is not `shown` in messages."""

    form: str = "text"
    shown: bool = True
    pattern: str = r"[^\x00-\x1f\x7f]*"

    def parse(self, text: str) -> str:
        found = f'"{printable(text)}"' if self.shown else "the value"
        if re.search(_SURROGATE, text):
            raise ValueError(f"{found} is not UTF-8")
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(f"{found} is not {self.form}")
        return text

    def describe(self) -> str:
        return self.form


URL = Text(
    form="an address that begins with http:// or https:// and holds no user, password or query",
    pattern=r"https?://[^\s/?#@]+(?:/[^\s]*)?",
)
REGION = Text(form="an AWS region, as eu-west-1", pattern=r"[a-z0-9-]+")


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a duration: write a number with its unit, as 500ms, 60s, 5m or 1h')
    return float(match[1]) * _DURATION_UNITS[match[2]]


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a size: write bytes, or a number with its unit, as 64MiB or 8MB')
    return int(match[1]) * _SIZE_UNITS[match[2] or "B"]


def _within[N: (int, float)](value: N, at_least: N | None, at_most: N | None) -> N:
    if at_least is not None and value < at_least:
        raise ValueError(f"{value} is less than {at_least}")
    if at_most is not None and value > at_most:
        raise ValueError(f"{value} is more than {at_most}")
    return value


def _range(at_least: object, at_most: object) -> str:
    if at_least is None and at_most is None:
        return ""
    if at_most is None:
        return f", at least {at_least}"
    if at_least is None:
        return f", at most {at_most}"
    return f", {at_least} to {at_most}"


def printable(text: str) -> str:
    """In one line, without what a URL holds of names and passwords."""
    text = re.sub(r"//[^/]*@", "//…@", text)
    return text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
