"""The embedded Kinesis says who has read what, and when."""

import pytest

from consumer.local.aws.reads import NOBODY, Reads, reader_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_reader_has_its_own_last_read_of_each_shard() -> None:
    clock = Clock()
    reads = Reads(clock)
    reads.note("s3", "stream", "one", at_end=False)
    reads.note("s3", "stream", "two", at_end=False)
    reads.note("s3", "another", "one", at_end=False)
    clock.now = 10
    reads.note("bigquery", "stream", "one", at_end=False)
    reads.note("s3", "stream", "two", at_end=True)
    clock.now = 12
    told = reads.of("stream", {"one": [], "two": []}, {"app": ["two"]})
    assert told.read == {"s3": {"one": 12, "two": 2}, "bigquery": {"one": 2}}
    assert told.at_end == {"s3": ["two"], "bigquery": []}
    assert (told.parents, told.checkpointed) == ({"one": [], "two": []}, {"app": ["two"]})


def test_a_shard_that_is_read_again_is_not_at_its_end_any_more() -> None:
    reads = Reads(Clock())
    reads.note("s3", "stream", "one", at_end=True)
    reads.note("s3", "stream", "one", at_end=False)
    assert reads.of("stream", {"one": []}, {}).at_end == {"s3": []}


@pytest.mark.parametrize(
    ("header", "reader"),
    [
        ("AWS4-HMAC-SHA256 Credential=s3/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=a", "s3"),
        (None, NOBODY),
        ("Bearer token", NOBODY),
    ],
)
def test_the_access_key_is_the_reader(header: str | None, reader: str) -> None:
    assert reader_of(header) == reader
