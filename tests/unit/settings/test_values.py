import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.settings.values import Choice, Duration, Flag, Integer, Kind, Number, Size, Text, Value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration(), "500ms", 0.5),
        (Duration(), "60s", 60.0),
        (Duration(), "5m", 300.0),
        (Duration(), "1h", 3600.0),
        (Duration(), "1.5s", 1.5),
        (Duration(at_least="100ms", at_most="1h"), "100ms", 0.1),
        (Duration(at_least="100ms", at_most="1h"), "1h", 3600.0),
        (Size(), "1024", 1024),
        (Size(), "10B", 10),
        (Size(), "64MiB", 67108864),
        (Size(), "8MB", 8000000),
        (Size(), "2KiB", 2048),
        (Size(), "2kB", 2000),
        (Size(), "1GiB", 1073741824),
        (Size(at_most="10MB"), "10MB", 10_000_000),
        (Integer(), "-7", -7),
        (Integer(at_least=0, at_most=65535), "65535", 65535),
        (Number(), "0.5", 0.5),
        (Number(at_least=0, at_most=1), "1", 1.0),
        (Flag(), "true", True),
        (Flag(), "false", False),
        (Choice(("log", "fields")), "log", "log"),
        (Text(), "anything at all", "anything at all"),
        (Text(form="two letters", pattern="[a-z]{2}"), "ab", "ab"),
    ],
)
def test_a_text_stands_for_a_value(kind: Kind, text: str, value: Value) -> None:
    parsed = kind.parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Duration(), "60", "is not a duration"),
        (Duration(), "60 s", "is not a duration"),
        (Duration(), "-1s", "is not a duration"),
        (Duration(), "1d", "is not a duration"),
        (Duration(), "s", "is not a duration"),
        (Duration(at_least="100ms"), "99ms", "99ms is less than 100ms"),
        (Duration(at_most="1h"), "61m", "61m is more than 1h"),
        (Size(), "64 MiB", "is not a size"),
        (Size(), "1.5MiB", "is not a size"),
        (Size(), "64mib", "is not a size"),
        (Size(), "-1", "is not a size"),
        (Size(at_least="1KiB"), "1023", "1023 is less than 1KiB"),
        (Size(at_most="10MB"), "10MiB", "10MiB is more than 10MB"),
        (Integer(), "1.0", "is not a whole number"),
        (Integer(), "", "is not a whole number"),
        (Integer(), "1_000", "is not a whole number"),
        (Integer(), "١", "is not a whole number"),
        (Integer(at_least=1), "0", "0 is less than 1"),
        (Integer(at_most=2), "3", "3 is more than 2"),
        (Number(), "nan", "is not a number"),
        (Number(), "inf", "is not a number"),
        (Number(), "half", "is not a number"),
        (Number(at_most=1), "1.5", "1.5 is more than 1"),
        (Flag(), "yes", "neither true nor false"),
        (Flag(), "True", "neither true nor false"),
        (Choice(("log", "fields")), "Log", "is none of log, fields"),
        (Text(), "a\x1bb", r'"a\x1bb" is not text'),
        (Text(form="two letters", pattern="[a-z]{2}"), "abc", '"abc" is not two letters'),
    ],
)
def test_a_text_that_stands_for_none_is_refused_with_what_was_expected(
    kind: Kind, text: str, message: str
) -> None:
    with pytest.raises(ValueError) as refusal:
        kind.parse(text)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "description"),
    [
        (Duration(), "duration"),
        (Duration(at_least="1s", at_most="1h"), "duration, 1s to 1h"),
        (Duration(at_most="1h"), "duration, at most 1h"),
        (Size(at_least="1KiB"), "size, at least 1KiB"),
        (Integer(at_least=0, at_most=3), "whole number, 0 to 3"),
        (Choice(("a", "b")), "a | b"),
        (Flag(), "true or false"),
    ],
)
def test_a_kind_describes_itself(kind: Kind, description: str) -> None:
    assert kind.describe() == description


@pytest.mark.parametrize("kind", [Duration(), Size(), Integer(), Number(), Flag(), Choice(("a",)), Text()])
@given(text=st.text())
def test_no_text_makes_a_kind_fail_otherwise_than_by_a_value_error(kind: Kind, text: str) -> None:
    with contextlib.suppress(ValueError):
        assert kind.parse(text) is not None
