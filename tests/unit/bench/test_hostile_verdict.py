"""Each fault that is planted is found: losses, doubles, wrong reasons, long details, other texts, forged columns."""

import pytest
from msgspec.structs import replace

from tests.bench.hostile_input import FIRST_NUMBER, Given
from tests.bench.hostile_verdict import verdict
from tests.bench.kept import Delivered, Kept, Letter
from tests.hostile.kinds import KINDS, SMALL_BYTES, Shape

SHARD = "shardId-000000000000"
S3, LOG = Shape(backend="s3"), Shape(backend="bigquery")
GIVEN = [Given(None, "good", 100), Given(KINDS["half-surrogate"], "bad", 20_000), Given(None, "other", 100)]


def row(place: int, *, digest: str = "", shards: tuple[str, ...] = ()) -> Delivered:
    return Delivered(FIRST_NUMBER + place, digest or GIVEN[place].digest, shards)


def letter(place: int, reason: str) -> Letter:
    return Letter(
        sequence_number=f"49{place:048}",
        sub_sequence_number=0,
        reason=reason,
        detail="as told",
        detail_characters=7,
        digest=GIVEN[place].digest,
    )


def faults(
    delivered: list[Delivered], letters: list[Letter], shape: Shape = LOG, shard: str | None = None
) -> list[str]:
    return verdict(GIVEN, Kept(delivered, letters, []), shape, shard=shard, size=SMALL_BYTES).faults


GOOD = [row(0), row(2)]
BURIED = letter(1, "not_unicode")


def test_each_record_once_where_it_may_be_is_no_fault() -> None:
    assert faults(GOOD, [BURIED]) == []
    assert faults([*GOOD, row(1)], [], S3) == []


def test_what_became_of_the_hostile_ones_is_counted() -> None:
    found = verdict(GIVEN, Kept(GOOD, [BURIED], []), LOG, shard=None, size=SMALL_BYTES)
    assert found.outcomes == {"not_unicode": 1}


@pytest.mark.parametrize(
    ("delivered", "letters", "found"),
    [
        (GOOD, [], "half-surrogate: lost"),
        ([row(0)], [BURIED], "a good record: lost"),
        ([], [BURIED], "a good record: lost (2 times)"),
        ([*GOOD, row(0)], [BURIED], "a good record: in 2 places: delivered, delivered"),
        (GOOD, [BURIED, BURIED], "half-surrogate: in 2 places: not_unicode, not_unicode"),
        (GOOD, [letter(1, "not_json")], "half-surrogate: not_json, not not_unicode"),
        ([*GOOD, row(1)], [], "half-surrogate: delivered, not not_unicode"),
        ([row(0)], [BURIED, letter(2, "not_json")], "a good record: not_json, not delivered"),
        ([row(0), row(2, digest="changed")], [BURIED], "a good record: delivered as another text"),
        (
            GOOD,
            [replace(BURIED, digest="changed")],
            "half-surrogate: a dead letter with another payload",
        ),
        (
            GOOD,
            [replace(BURIED, detail="")],
            "half-surrogate: a dead letter without a reason or without a detail",
        ),
        (GOOD, [replace(BURIED, detail_characters=501)], "half-surrogate: a detail of 501 characters"),
        ([*GOOD, Delivered(0)], [BURIED], "a row or line that is no record that was given"),
        ([*GOOD, Delivered(FIRST_NUMBER + 3)], [BURIED], "a record that was not given"),
    ],
)
def test_a_planted_fault_is_found(delivered: list[Delivered], letters: list[Letter], found: str) -> None:
    assert found in faults(delivered, letters)


def test_metadata_columns_have_to_be_those_of_the_shard_alone() -> None:
    for forged in ((), ("shardId-forged",), (SHARD, "shardId-forged")):
        rows = [row(0, shards=forged), row(2, shards=(SHARD,))]
        assert f"a good record: metadata columns of its own making: {forged}" in faults(
            rows, [BURIED], shard=SHARD
        )
    assert faults([row(0, shards=(SHARD,)), row(2, shards=(SHARD,))], [BURIED], shard=SHARD) == []


def test_a_request_too_large_for_bigquery_is_a_fault() -> None:
    found = verdict(GIVEN, Kept(GOOD, [BURIED], [10_000_001]), LOG, shard=None, size=SMALL_BYTES)
    assert found.faults == ["a request that BigQuery refuses for its size"]
