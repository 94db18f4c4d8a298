"""File names of objects are read as they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.object_names import ObjectName, object_name, parse_object_name
from consumer.domain.records import Position

STEM = "my-stream-1-shardId-000000000003"


@given(
    first=st.builds(Position, st.integers(0, 10**56).map(str), st.integers(0, 10**6)),
    records=st.integers(1, 10**7),
    extension=st.sampled_from(["ndjson.gz", "ndjson.zst", "parquet"]),
    path=st.sampled_from(["", "player-log/a=1-2.ndjson.gz/"]),
)
def test_a_name_says_what_it_was_made_of(first: Position, records: int, extension: str, path: str) -> None:
    name = object_name(STEM, f"{first}-{records}", extension)
    assert parse_object_name(f"{path}{name}") == ObjectName(STEM, first, records, extension)


@pytest.mark.parametrize(
    "key", ["", "a/", "log/other.txt", f"{STEM}-1-2", f"{STEM}-x-2.parquet", "parcel.ndjson.gz"]
)
def test_other_names_say_nothing(key: str) -> None:
    assert parse_object_name(key) is None
