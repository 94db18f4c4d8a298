"""Tables by key, partitions by time."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.routing import PartitionPaths, partition_path, table_name, table_names, table_suffix

HOUR_MS = 3_600_000
MIDNIGHT_MS = 1_700_006_400_000
"""2023-11-15T00:00:00Z"""

TEMPLATE = "dt=%Y-%m-%d/hour=%H"


@pytest.mark.parametrize(
    ("key", "digits", "suffix"),
    [
        ("0123456789abcdef0123456789abcdef", 1, "0"),
        ("a1", 2, "a1"),
        ("A1", 2, "a1"),
        ("Fz", 1, "f"),
        ("fz", 2, None),
        ("g", 1, None),
        ("", 1, None),
        ("a", 2, None),
        (" a", 1, None),
        ("-1", 1, None),
        ("\u0661", 1, None),  # an Arabic one
        ("\uff11", 1, None),  # a full-width one
        ("\uff21", 1, None),  # a full-width A
        ("\u00b9", 1, None),  # a superscript one
        ("\u0130a", 2, None),  # its lower case is two characters
        ("\ud800", 1, None),
        (5, 1, None),
        (5.0, 1, None),
        (True, 1, None),
        (None, 1, None),
        (["a"], 1, None),
        ({"a": 1}, 1, None),
        ("anything", 0, ""),
        (None, 0, ""),
        (5, 0, ""),
    ],
)
def test_the_table_that_a_key_chooses(key: object, digits: int, suffix: str | None) -> None:
    assert table_suffix(key, digits) == suffix


@pytest.mark.parametrize(("digits", "count"), [(0, 1), (1, 16), (2, 256)])
def test_the_number_of_tables(digits: int, count: int) -> None:
    assert len(set(table_names("logs", digits))) == count


def test_the_names_of_tables() -> None:
    assert table_names("logs", 0) == ["logs"]
    assert table_names("logs", 1)[0] == "logs_0"
    assert table_names("logs", 2)[-1] == "logs_ff"
    assert table_names("logs", 2)[1] == "logs_01"


@pytest.mark.parametrize("digits", [-1, 3])
def test_other_numbers_of_digits_are_refused(digits: int) -> None:
    with pytest.raises(ValueError, match="key digits"):
        table_names("logs", digits)


@given(st.text(), st.sampled_from([0, 1, 2]))
def test_whatever_a_key_chooses_is_among_the_tables(key: str, digits: int) -> None:
    suffix = table_suffix(key, digits)
    if suffix is not None:
        assert table_name("logs", suffix) in table_names("logs", digits)


@pytest.mark.parametrize(
    ("template", "time_ms", "path"),
    [
        (TEMPLATE, MIDNIGHT_MS, "dt=2023-11-15/hour=00/"),
        (TEMPLATE, MIDNIGHT_MS - 1, "dt=2023-11-14/hour=23/"),
        (TEMPLATE, 0, "dt=1970-01-01/hour=00/"),
        (TEMPLATE, -1, "dt=1969-12-31/hour=23/"),
        ("%Y/%j/%H%M", MIDNIGHT_MS, "2023/319/0000/"),
        ("/dt=%Y/", MIDNIGHT_MS, "dt=2023/"),
        ("fixed", MIDNIGHT_MS, "fixed/"),
        ("", MIDNIGHT_MS, ""),
        ("%Y-%m-%d", -62_135_596_800_000, "0001-01-01/"),
        ("%Y-%m-%d", 253_402_300_799_999, "9999-12-31/"),
    ],
)
def test_partition_paths_are_in_utc_and_end_in_a_slash(template: str, time_ms: int, path: str) -> None:
    assert partition_path(template, time_ms) == path


def test_one_path_takes_all_records_without_naming_them() -> None:
    assert PartitionPaths(TEMPLATE).group([MIDNIGHT_MS, MIDNIGHT_MS + 5 * 60_000]) == {
        "dt=2023-11-15/hour=00/": None
    }


def test_an_hour_boundary_makes_two_groups_in_order() -> None:
    times = [MIDNIGHT_MS - 1, MIDNIGHT_MS, MIDNIGHT_MS - 2, MIDNIGHT_MS + 1]
    groups = PartitionPaths(TEMPLATE).group(times)
    assert groups == {"dt=2023-11-14/hour=23/": [0, 2], "dt=2023-11-15/hour=00/": [1, 3]}


def test_no_records_make_no_groups() -> None:
    assert PartitionPaths(TEMPLATE).group([]) == {}


times_ms = st.integers(MIDNIGHT_MS - 3 * HOUR_MS, MIDNIGHT_MS + 3 * HOUR_MS)


@given(st.lists(times_ms))
def test_groups_hold_every_record_once_under_the_path_of_its_time(times: list[int]) -> None:
    found: dict[int, str] = {}
    for path, indices in PartitionPaths(TEMPLATE).group(times).items():
        taken = range(len(times)) if indices is None else indices
        assert list(taken) == sorted(taken)
        for index in taken:
            assert index not in found
            found[index] = path
    assert found == {index: partition_path(TEMPLATE, time) for index, time in enumerate(times)}


def test_more_minutes_than_are_remembered_still_have_their_paths() -> None:
    paths = PartitionPaths("%Y%m%d%H%M")
    for minute in range(2500):
        expected = datetime.datetime.fromtimestamp(minute * 60, datetime.UTC).strftime("%Y%m%d%H%M/")
        assert paths.group([minute * 60_000]) == {expected: None}
