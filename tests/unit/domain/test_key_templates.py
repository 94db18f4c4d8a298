"""Paths of objects by a template: whatever a record says, they stay below the prefix, readable and short."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.domain.key_templates import (
    MOST_KEY_BYTES,
    MOST_VALUE_BYTES,
    NO_VALUE,
    OVERFLOW,
    KeyTemplate,
    TemplateError,
    check_template,
    escaped,
)
from consumer.domain.routing import partition_path, time_zone

NIGHT_MS = 1_599_872_399_000
"""2020-09-12T00:59:59Z"""


def template(text: str, zone: str = "UTC") -> KeyTemplate:
    return KeyTemplate(text, stream="logs", shard="shardId-000000000003", zone=time_zone(zone))


def test_a_path_has_fields_times_stream_and_shard_where_the_template_says() -> None:
    made = template("{stream}/content_type={content_type}/year=%Y/month=%m/day=%d/hour=%H/{shard}-{v|1}")
    assert made.fields == ("content_type", "v")
    assert made.path(["action_logs", None], NIGHT_MS) == (
        "logs/content_type=action_logs/year=2020/month=09/day=12/hour=00/shardId-000000000003-1/"
    )


def test_times_are_those_of_the_zone() -> None:
    assert template("%Y-%m-%d/%H", "Asia/Kolkata").path([], NIGHT_MS) == "2020-09-12/06/"
    assert template("%H%M", "America/St_Johns").path([], NIGHT_MS) == "2229/"
    assert partition_path("%Y-%m-%d/%H", NIGHT_MS, time_zone("Asia/Tokyo")) == "2020-09-12/09/"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
@given(time_ms=st.integers(0, 4_102_444_800_000))
def test_a_time_chooses_the_path_that_its_minute_has(zone: str, time_ms: int) -> None:
    text = "%Y/%m/%d/%H"
    assert template(text, zone).path([], time_ms) == partition_path(text, time_ms, time_zone(zone))


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("time_ms", [-62_135_596_800_000, 253_402_300_799_999])
def test_no_zone_pushes_a_time_over_the_edge_of_the_calendar(zone: str, time_ms: int) -> None:
    assert re.fullmatch("[0-9]{4}/", template("%Y", zone).path([], time_ms))


@pytest.mark.parametrize(
    "zone", ["Europe/Nowhere", "Europe", "tzdata.zi", "../tzdata/zoneinfo/UTC", "zone.tab"]
)
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="no zone of the tz database"):
        time_zone(zone)


def test_what_a_record_does_not_say_has_the_default_or_what_hive_takes_for_null() -> None:
    made = template("a={a|none}/b={b}")
    for missing in (None, ""):
        assert made.path([missing, missing], 0) == f"a=none/b={NO_VALUE}/"
    assert made.overflow_path(0) == f"a={OVERFLOW}/b={OVERFLOW}/"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Free Kick", "Free%20Kick"),
        ("a/b", "a%2Fb"),
        ("..", "%2E."),
        (".", "%2E"),
        (".hidden", "%2Ehidden"),
        ("v1.2", "v1.2"),
        ("k=v", "k%3Dv"),
        ("100%", "100%25"),
        ("Grüße", "Gr%C3%BC%C3%9Fe"),
        ("\0\n", "%00%0A"),
        ("\ud800", "%3F"),
        ("x" * 10_240, "x" * MOST_VALUE_BYTES),
        ("é" * 10_240, "%C3%A9" * (MOST_VALUE_BYTES // 6)),
    ],
)
def test_a_value_stays_readable_in_a_safe_alphabet(value: str, text: str) -> None:
    assert escaped(value) == text


texts = st.one_of(
    st.text(),
    st.text("./=%_-\\\0 é😀", max_size=300),
    st.sampled_from(["", ".", "..", "../../etc/passwd", "/", "a" * 10_240, "\ud800", OVERFLOW, NO_VALUE]),
)


@given(texts)
@example("a" * (MOST_VALUE_BYTES + 1))
def test_readers_of_hive_keys_read_a_value_back_as_far_as_it_goes(value: str) -> None:
    made = escaped(value)
    assert re.fullmatch(r"(?!\.)(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})*", made)
    assert len(made) <= MOST_VALUE_BYTES
    assert value.encode("utf-8", "replace").decode().startswith(unquote(made, errors="strict"))
    if len(made) <= MOST_VALUE_BYTES - 12:
        assert unquote(made) == value.encode("utf-8", "replace").decode()


@given(
    text=st.lists(
        st.sampled_from(["{a}", "{b|x}", "{c}", "{stream}", "%Y", "%j", "/", "k=", ".", "..", "-", "a"]),
        max_size=12,
    ).map("".join),
    values=st.tuples(texts | st.none(), texts | st.none(), texts | st.none()),
    time_ms=st.integers(-62_135_596_800_000, 253_402_300_799_999),
)
@example(text="{a}{b|x}", values=(".", ".", None), time_ms=0)
@example(text=".{a}", values=(".", None, None), time_ms=0)
def test_no_value_leaves_the_prefix_or_makes_a_key_too_long(
    text: str, values: tuple[str | None, str | None, str | None], time_ms: int
) -> None:
    try:
        check_template(text, prefix="player-log/", stream="logs")
        made = template(text)
    except TemplateError:
        return
    for path in (made.path(values[: len(made.fields)], time_ms), made.overflow_path(time_ms)):
        assert path.endswith("/") or not path.strip("/")
        parts = path.split("/")
        assert not {"", ".", ".."} & set(parts[:-1])
        assert len(parts) == text.count("/") + 2
        assert len(path) <= made.most_bytes + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty part"),
        ("/a", "empty part"),
        ("a//b", "empty part"),
        ("{a}/", "empty part"),
        ("a/../{b}", "many tools resolve"),
        ("{a", "is none of what a template has"),
        ("{a b}", "is none of what a template has"),
        ("{}", "is none of what a template has"),
        ("{a|}", "is none of what a template has"),
        ("{a|b/c}", "is none of what a template has"),
        ("%S", "is none of what a template has"),
        ("a b", "is none of what a template has"),
        ("/".join(f"{{f{number}}}" for number in range(9)), "names 9 fields"),
        ("/".join(f"{{f{number}}}" for number in range(7)), "and S3 takes 1024"),
    ],
)
def test_what_is_no_template_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        check_template(text, prefix="player-log/", stream="logs")


def test_the_longest_key_of_a_template_that_is_taken_fits_into_s3() -> None:
    check_template("/".join(f"{{f{number}}}" for number in range(6)), prefix="player-log/", stream="logs")
    with pytest.raises(TemplateError, match="and S3 takes 1024"):
        check_template("{a}", prefix="p" * (MOST_KEY_BYTES - 200), stream="logs")
