"""Which payloads are JSON, and within which limits: everybody who decides about it has to say the same.

Held against each other are the rule in Python, the one in C, what is fine at first sight to either of them, and
Python's own JSON parser, which knows nothing of any of these.
"""

import json
import math
import re
from array import array
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

from consumer.native import library
from consumer.sinks.json.fields import FieldReader
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.rule import BIGQUERY, LEAST_DEPTH, Fault, Limits, judge
from tests.fuzz.inputs import Input

ALL_LIMITS = (
    BIGQUERY,
    Limits(max_depth=LEAST_DEPTH),
    Limits(max_depth=700, unicode_only=True),
    Limits(max_depth=LEAST_DEPTH, max_name_bytes=65_536, doubles_only=True),
)

STRICTEST = Limits(max_depth=LEAST_DEPTH, max_name_bytes=65_536, unicode_only=True, doubles_only=True)
"""Nothing that is sure at first sight passes these."""

MOST_LEVELS = 900
"""Python's parser may not come to the end of deeper ones, depending on who calls it."""

type Verdict = Fault | None
type Decides = Callable[[bytes, Limits], Verdict]


def _in_c(payload: bytes, limits: Limits) -> Verdict:
    return Judge(limits).fault(payload)


def _without_c(payload: bytes, limits: Limits) -> Verdict:
    with patch.object(library, "load", lambda: None):
        return Judge(limits).fault(payload)


JUDGES: Mapping[str, Decides] = {"judge": judge, "judge.c": _in_c, "Judge without C": _without_c}
"""All that give a verdict with its reason and offset. Another one belongs here, and is then compared like these."""


def check(one: Input) -> None:
    for payload in one.payloads:
        shape = Shape.of(payload)
        for limits in ALL_LIMITS:
            verdicts = {name: decide(payload, limits) for name, decide in JUDGES.items()}
            assert len(set(verdicts.values())) == 1, f"they differ about {limits}: {verdicts}"
            shape.check(verdicts["judge"], limits)
        if _is_sure_line(payload):
            assert not shape.faults(STRICTEST), f"a line at first sight, but {shape.faults(STRICTEST)}"
    _check_fields(one.payloads)


class Shape:
    """What Python's own parser tells of a payload: whether it is JSON, and how far it goes."""

    def __init__(
        self, *, is_json: bool | None, depth: int, name_bytes: int, halves: bool, beyond: bool
    ) -> None:
        self._is_json = is_json
        self._depth = depth
        self._name_bytes = name_bytes
        self._has_half_pairs = halves
        self._is_beyond_doubles = beyond

    @classmethod
    def of(cls, payload: bytes) -> "Shape":
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            return cls(is_json=False, depth=0, name_bytes=0, halves=False, beyond=False)
        depth = levels(text)
        if depth > MOST_LEVELS:
            return cls(is_json=None, depth=depth, name_bytes=0, halves=False, beyond=False)
        numbers: list[str] = []
        texts: list[str] = []
        try:
            _parse(text, numbers, texts)
        except ValueError:
            return cls(is_json=False, depth=depth, name_bytes=0, halves=False, beyond=False)
        return cls(
            is_json=True,
            depth=depth,
            name_bytes=max(map(_size_of_name, _NAMES(text)), default=0),
            halves=any("\ud800" <= character <= "\udfff" for one in texts for character in one),
            beyond=any(math.isinf(float(number)) for number in numbers),
        )

    def faults(self, limits: Limits) -> set[str]:
        """All reasons that there are to refuse it; of what is no JSON any may come first."""
        if not self._is_json:
            return {"not_json", "too_deep", "long_name", "not_unicode", "bad_number"}
        found = {
            "too_deep": self._depth > limits.max_depth,
            "long_name": self._name_bytes > limits.max_name_bytes,
            "not_unicode": limits.unicode_only and self._has_half_pairs,
            "bad_number": limits.doubles_only and self._is_beyond_doubles,
        }
        return {reason for reason, holds in found.items() if holds}

    def check(self, verdict: Verdict, limits: Limits) -> None:
        if self._is_json is None:
            assert verdict is not None, "nested too deeply for Python's parser, and fine"
            return
        expected = self.faults(limits)
        assert bool(expected) == (verdict is not None), (
            f"{verdict}, and Python's parser finds {expected}: {limits}"
        )
        assert verdict is None or verdict.reason in expected, f"{verdict}, but there are only {expected}"


_NAMES = re.compile(r'"((?:[^"\\]|\\.)*)"([ \t\r\n]*:)?', re.DOTALL).findall


def _size_of_name(found: tuple[str, str]) -> int:
    text, colon = found
    return len(text.encode()) if colon else 0


def _parse(text: str, numbers: list[str], texts: list[str]) -> None:
    """Raises ValueError where it is no JSON; collects how numbers are spelled, and what texts say."""

    def number(spelled: str) -> str:
        numbers.append(spelled)
        return ""

    def members(pairs: list[tuple[str, Any]]) -> list[Any]:
        return [part for pair in pairs for part in pair]

    value = json.loads(
        text, parse_constant=_refused, parse_int=number, parse_float=number, object_pairs_hook=members
    )
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, str):
            texts.append(one)


def _refused(name: str) -> Any:
    raise ValueError(name)


def levels(text: str) -> int:
    """How deep arrays and objects are nested, at most, in what may be JSON."""
    depth = deepest = 0
    in_text = escaped = False
    for character in text:
        if in_text:
            in_text = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            in_text = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _is_sure_line(payload: bytes) -> bool:
    native = library.load()
    if native is None:
        return False
    text, sizes = bytearray(payload + b"\n"), array("I", [len(payload)])
    found: int = native.json_lines(library.address(text), len(text), library.address(sizes), 1)
    assert not found or not set(payload) & set(b"\r\n"), "a line that holds a line end"
    return found == 1


def _check_fields(payloads: list[bytes]) -> None:
    """The members that decide where a record goes are the same with and without C, alone and among others,
    whatever the limits."""
    for limits in (BIGQUERY, STRICTEST):
        with_it = _fields(payloads, limits)
        alone = [_fields([payload], limits) for payload in payloads]
        assert with_it == [fields for [fields] in alone], "other fields than alone"
        with patch.object(library, "load", lambda: None):
            assert _fields(payloads, limits) == with_it, f"other fields without C: {limits}"


def _fields(payloads: list[bytes], limits: Limits) -> list[str]:
    reader = FieldReader(key_field="player_id", time_field="time", limits=limits)
    fields, rejections = reader.read(payloads)
    found = {rejection.index: f"{rejection.reason}: {rejection.detail}" for rejection in rejections}
    return [
        found[index] if one is None else repr((_shown(one.key), _shown(one.time)))
        for index, one in enumerate(fields)
    ]


def _shown(part: Any) -> Any:
    return part if isinstance(part, str | int | float | type(None)) else bytes(part)
