import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.settings.properties_file import Entry, Malformed, parse, render

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
VALUES = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a=b", "a", "b"),
        ("a = b", "a", "b"),
        ("a: b", "a", "b"),
        ("a b", "a", "b"),
        ("a\tb c", "a", "b c"),
        ("  a  =  b  ", "a", "b"),
        ("a==b", "a", "=b"),
        ("a = = b", "a", "= b"),
        ("a", "a", ""),
        ("a=", "a", ""),
        ("a\\ b=c", "a b", "c"),
        ("a\\=b=c", "a=b", "c"),
        ("a\\:b:c", "a:b", "c"),
        ("a=b\\\n   c", "a", "bc"),
        ("a=b\\\r\n\tc", "a", "bc"),
        ("a=b\\\\", "a", "b\\"),
        ("a=b\\", "a", "b"),
        ("a=\\tb\\nc", "a", "\tb\nc"),
        ("a=\\u00e9\\u00E9", "a", "éé"),
        ("a=\\ud83d\\ude00", "a", "😀"),
        ("a=\\q", "a", "q"),
        ("a=b\\ ", "a", "b "),
        ("a=C:\\\\x", "a", "C:\\x"),
        ("a=é", "a", "é"),
        ("a=b # no comment", "a", "b # no comment"),
    ],
)
def test_a_line_is_read_as_java_reads_it(text: str, key: str, value: str) -> None:
    assert list(parse(text)) == [Entry(key, value, 1)]


def test_comments_and_empty_lines_are_no_entries_but_count_as_lines() -> None:
    text = "# one\n\n  ! two\na=1\r\rb=2\r\nc=\\\n  # a value\n"
    assert list(parse(text)) == [Entry("a", "1", 4), Entry("b", "2", 6), Entry("c", "# a value", 7)]


def test_a_key_set_twice_is_two_entries() -> None:
    assert list(parse("a=1\na=2")) == [Entry("a", "1", 1), Entry("a", "2", 2)]


@pytest.mark.parametrize("value", ["\\u12", "\\uwxyz", "\\u", "\\ud83d"])
def test_a_damaged_escape_is_reported_with_its_line_and_hides_no_other_line(value: str) -> None:
    first, second = parse(f"a={value}\nb=2")
    assert isinstance(first, Malformed)
    assert first.line == 1
    assert second == Entry("b", "2", 2)


@given(st.dictionaries(KEYS, VALUES))
def test_what_is_rendered_is_read_back_unchanged(properties: dict[str, str]) -> None:
    text = render(properties)
    assert text.isascii()
    assert {entry.key: entry.value for entry in parse(text) if isinstance(entry, Entry)} == properties


@given(st.text())
def test_no_file_makes_the_parser_fail(text: str) -> None:
    for entry in parse(text):
        assert entry.line >= 1
