"""Why records have not arrived: what a backend says of itself, and what is on the stream behind its checkpoints."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.local.aggregate import aggregate, user_records
from consumer.local.records import Outgoing
from consumer.local.waits import Report, reports, unread

AGGREGATE = aggregate(tuple(Outgoing(data=b"%d" % number, partition_key="k") for number in range(4))).data


@pytest.mark.parametrize(
    "data", [b"", b"{}", AGGREGATE[:-1], AGGREGATE[:4], AGGREGATE[:4] + bytes(16), b"x" + AGGREGATE]
)
def test_what_is_no_aggregate_is_one_record(data: bytes) -> None:
    assert user_records(data) == [data]


def test_an_aggregate_is_its_user_records() -> None:
    assert user_records(AGGREGATE) == [b"0", b"1", b"2", b"3"]


def test_the_reports_are_read_where_backends_write_them(tmp_path: Path) -> None:
    texts = {
        "one": json.dumps({"backend": "s3", "phase": "running", "healthy": True, "shards": [{"shard": "a"}]}),
        "two": json.dumps({"backend": "bigquery", "phase": "preparing", "reasons": ["no dataset"]}),
        "half": '{"backend": "s3", "pha',
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "status.json").write_text(text)
    found = reports(tmp_path)
    assert {backend: report.doing() for backend, report in found.items()} == {
        "s3": "reading the stream",
        "bigquery": "no dataset",
    }
    assert reports(tmp_path / "none") == {}


def test_a_shard_that_is_held_is_told_from_one_that_is_late() -> None:
    late = Report(backend="s3", reasons=("a record has waited",), shards=({"held": None}, {}))
    assert not late.held
    assert Report(backend="s3", shards=({"held": None}, {"held": "no_key"})).held


def test_a_reason_fits_a_line() -> None:
    assert len(Report(backend="s3", reasons=("x" * 500,)).doing()) == 100


class Missing(Exception):
    """A lease table that is not there."""


class FakeAws:
    """A stream of one record a number and shard, and the lease table, as boto3 clients show them."""

    stream = "stream"

    def __init__(
        self, records: dict[str, dict[int, bytes]], leases: dict[str, tuple[str, int]] | None
    ) -> None:
        self._records = records
        self._leases = leases
        self.exceptions = self
        self.ResourceNotFoundException = Missing

    def client(self, service: str) -> Any:
        return self

    def get_paginator(self, name: str) -> Any:
        return self if name == "list_shards" else Leases(self._leases)

    def paginate(self, **asked: str) -> Iterator[Any]:
        yield {"Shards": [{"ShardId": shard} for shard in self._records]}

    def get_shard_iterator(self, **asked: str) -> Any:
        start = asked.get("StartingSequenceNumber", "0")
        assert asked["ShardIteratorType"] == ("AT_SEQUENCE_NUMBER" if int(start) else "TRIM_HORIZON")
        return {"ShardIterator": f"{asked['ShardId']} {start}"}

    def get_records(self, **asked: str) -> Any:
        """One record an answer, and one without any between them, as a stream with gaps gives."""
        shard, start = asked["ShardIterator"].split()
        left = sorted(number for number in self._records[shard] if number >= float(start))
        found = [
            {"SequenceNumber": str(number), "Data": self._records[shard][number]}
            for number in left[:1]
            if number == float(start)
        ]
        following = left[1:] if found else left
        return {
            "Records": found,
            "MillisBehindLatest": 1000 * len(following),
            "NextShardIterator": f"{shard} {following[0] if following else 99}",
        }


class Leases:
    def __init__(self, leases: dict[str, tuple[str, int]] | None) -> None:
        self._leases = leases

    def paginate(self, **asked: Any) -> Iterator[Any]:
        if self._leases is None:
            raise Missing
        yield {
            "Items": [
                {
                    "leaseKey": {"S": shard},
                    "checkpoint": {"S": sequence},
                    "checkpointSubSequenceNumber": {"N": str(sub_sequence)},
                }
                for shard, (sequence, sub_sequence) in self._leases.items()
            ]
        }


RECORDS = {"a": {1: b"a1", 2: AGGREGATE, 3: b"a3"}, "b": {7: b"b7"}}


@pytest.mark.parametrize(
    ("leases", "expected"),
    [
        (None, [b"a1", b"0", b"1", b"2", b"3", b"a3", b"b7"]),
        ({"a": ("TRIM_HORIZON", 0), "b": ("SHARD_END", 0)}, [b"a1", b"0", b"1", b"2", b"3", b"a3"]),
        ({"a": ("1", 0), "b": ("7", 0)}, [b"0", b"1", b"2", b"3", b"a3"]),
        ({"a": ("2", 1), "b": ("7", 0)}, [b"2", b"3", b"a3"]),
        ({"a": ("2", 3), "b": ("7", 0)}, [b"a3"]),
        ({"a": ("3", 0), "b": ("7", 0)}, []),
    ],
)
def test_records_behind_the_checkpoint_are_those_of_the_next_start(
    leases: dict[str, tuple[str, int]] | None, expected: list[bytes]
) -> None:
    stack: Any = FakeAws(RECORDS, leases)
    assert list(unread(stack, "application")) == expected
