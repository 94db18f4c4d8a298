"""CBOR against the RFC's examples and against botocore's own reader."""

from typing import Any

import pytest
from botocore.parsers import BaseCBORParser
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.kinesis.cbor import CborError, Major, Moment, decode, encode, head

RFC_8949_EXAMPLES = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("1903e8", 1000),
    ("1b000000e8d4a51000", 1_000_000_000_000),
    ("20", -1),
    ("3903e7", -1000),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("64f0908591", "\U00010151"),
    ("80", []),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
]

READ_ONLY_EXAMPLES = [
    ("c11a514b67b0", 1_363_896_240),
    ("f93e00", 1.5),
    ("fb3ff199999999999a", 1.1),
    ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
    ("7f657374726561646d696e67ff", "streaming"),
    ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
    ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
]

SCALARS = st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text() | st.binary()


def nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
    )


@pytest.mark.parametrize(("written", "value"), RFC_8949_EXAMPLES)
def test_the_rfcs_examples_are_written_as_there(written: str, value: Any) -> None:
    assert encode(value).hex() == written


@pytest.mark.parametrize(("written", "value"), [*RFC_8949_EXAMPLES, *READ_ONLY_EXAMPLES])
def test_the_rfcs_examples_are_read(written: str, value: Any) -> None:
    assert decode(bytes.fromhex(written)) == value


@given(nested(SCALARS))  # of maps, botocore drops members that are null
def test_botocore_reads_what_is_written(value: Any) -> None:
    parser = BaseCBORParser()
    assert parser.parse_data_item(parser.get_peekable_stream_from_bytes(encode(value))) == value


@given(nested(SCALARS | st.none()))
def test_what_is_written_is_read_again(value: Any) -> None:
    assert decode(encode(value)) == value


def test_moments_have_the_tag_of_the_epoch_and_one_length() -> None:
    assert encode(Moment(1)).hex() == "c11b0000000000000001"
    assert decode(encode(Moment(1_700_000_000_000))) == 1_700_000_000_000


@pytest.mark.parametrize(
    "written",
    ["", "18", "6261", "ff", "0000", "9f01", "bf6161ff", "1c", "3f", "82ff01", "f8ff", "61ff", "81" * 20_000],
)
def test_what_is_not_one_item_is_refused(written: str) -> None:
    with pytest.raises(CborError):
        decode(bytes.fromhex(written))


def test_what_kinesis_has_no_word_for_is_not_written() -> None:
    with pytest.raises(CborError, match="complex"):
        encode({"a": 1j})


def test_a_head_takes_as_many_bytes_as_its_number_needs() -> None:
    assert [len(head(Major.TEXT, number)) for number in (23, 24, 255, 256, 65_536, 2**32)] == [
        1,
        2,
        2,
        3,
        5,
        9,
    ]
