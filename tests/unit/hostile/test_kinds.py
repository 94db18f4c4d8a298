"""Hostile payloads are what their names say: JSON or none, of the size asked for, and each told by its mark."""

import gzip
import json
import re
from itertools import pairwise

import pytest

from tests.hostile.kinds import DELIVERED, KINDS, LARGE_BYTES, SMALL_BYTES, Kind, Shape, kinds_of
from tests.hostile.payloads import Mark, good

ONE, OTHER = Mark.number(100_000_000_001), Mark.number(100_000_000_002)
SMALL = [pytest.param(kind, id=kind.name) for kind in kinds_of(SMALL_BYTES)]
NESTED = re.compile(r"(arrays|objects|both)-(\d+)")


def is_json(payload: bytes) -> bool | None:
    """By Python's own parser; None for what goes deeper than that does."""
    try:
        json.loads(payload.decode(), parse_constant=refuse, parse_int=len)
    except ValueError:
        return False
    except RecursionError:
        return None
    return True


def refuse(constant: str) -> None:
    raise ValueError(constant)


def depth_of(payload: bytes) -> int:
    """Of payloads whose texts hold no brackets."""
    depth = deepest = 0
    for byte in payload:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    assert depth == 0
    return deepest


@pytest.mark.parametrize("kind", SMALL)
def test_what_no_sink_can_take_as_json_is_none_and_all_else_is(kind: Kind) -> None:
    found = is_json(kind.build(ONE, SMALL_BYTES))
    assert "too_deep" in kind.s3 if found is None else found is ("not_json" not in kind.s3)


@pytest.mark.parametrize("kind", SMALL)
def test_a_payload_is_the_same_for_the_same_mark_and_differs_for_another(kind: Kind) -> None:
    assert kind.build(ONE, SMALL_BYTES) == kind.build(ONE, SMALL_BYTES)
    assert (kind.build(ONE, SMALL_BYTES) == kind.build(OTHER, SMALL_BYTES)) is kind.has_no_mark


@pytest.mark.parametrize("kind", SMALL)
def test_what_may_be_delivered_holds_its_mark_once(kind: Kind) -> None:
    found = re.findall(rb'number\\?":(\d{12})', kind.build(ONE, SMALL_BYTES))
    assert found == [b"100000000001"] or DELIVERED not in kind.s3 | kind.bigquery


@pytest.mark.parametrize("kind", list(KINDS.values()), ids=lambda kind: kind.name)
@pytest.mark.parametrize("size", [SMALL_BYTES, LARGE_BYTES])
def test_a_payload_is_about_as_large_as_asked_for_or_as_it_has_to_be(kind: Kind, size: int) -> None:
    wanted = 0 if kind.name == "empty" else max(size, kind.least_bytes)
    assert abs(len(kind.build(ONE, size)) - wanted) <= 200 + 0.02 * wanted


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if NESTED.fullmatch(kind.name)])
def test_nested_payloads_are_as_deep_as_their_names_say(kind: Kind) -> None:
    match = NESTED.fullmatch(kind.name)
    assert match is not None
    if int(match[2]) <= 10_000:
        assert depth_of(kind.build(ONE, SMALL_BYTES)) == int(match[2])


def test_half_a_million_members_have_half_a_million_names() -> None:
    members = json.loads(KINDS["members-many"].build(ONE, LARGE_BYTES))
    assert len(members) >= 500_000
    assert members["player_id"]


def test_fields_that_stand_twice_do_so_by_any_spelling() -> None:
    for name in ("key-repeated", "key-repeated-otherwise", "key-repeated-with-escapes", "time-repeated"):
        pairs = json.loads(KINDS[name].build(ONE, SMALL_BYTES), object_pairs_hook=list)
        names = sorted(name for name, _ in pairs)
        assert any(first == second for first, second in pairwise(names))


def test_a_file_in_gzip_names_its_mark() -> None:
    payload = KINDS["gzip"].build(ONE, SMALL_BYTES)
    assert not any(gzip.decompress(payload))
    assert b'"number":100000000001' in payload


def test_outcomes_follow_the_shape_of_the_rows_and_the_size() -> None:
    s3, log = Shape(backend="s3"), Shape(backend="bigquery")
    fields, one_table = Shape(backend="bigquery", fields=True), Shape(backend="bigquery", key_digits=0)
    surrogate, key, deep = KINDS["half-surrogate"], KINDS["key-array"], KINDS["arrays-9989"]
    plain = KINDS["json-array"]
    assert surrogate.outcomes(s3, SMALL_BYTES) == {"delivered"}
    assert surrogate.outcomes(fields, SMALL_BYTES) == {"not_unicode"}
    assert key.outcomes(log, SMALL_BYTES) == {"bad_key"}
    assert key.outcomes(one_table, SMALL_BYTES) == {"bad_key", "delivered"}
    assert deep.outcomes(s3, LARGE_BYTES) == {"too_deep"}
    assert deep.outcomes(log, LARGE_BYTES) == {"too_deep", "too_large"}
    assert plain.outcomes(log, SMALL_BYTES) == {"delivered"}
    assert plain.outcomes(fields, SMALL_BYTES) == {"delivered", "rejected", "too_many_values"}
    assert plain.outcomes(log, LARGE_BYTES) == {"delivered", "too_large"}


def test_a_good_log_is_json_with_a_key_a_time_and_its_mark() -> None:
    log = json.loads(good(ONE))
    assert set(log) == {"player_id", "time", "number", "event"}
    assert log["number"] == 100_000_000_001
