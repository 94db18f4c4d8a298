"""What a command reads of a stream, however small and empty the answers of Kinesis are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.prepare.preparation import NotReady, Unreachable
from consumer.domain.errors import TransientError
from consumer.operate import stream as module
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience
from consumer.operate.stream import HORIZON, Arrived, Shard, Stream, at_record, at_time, behind_record
from consumer.settings import load
from tests.unit.operate.fake_kinesis import BEGIN_MS, FakeKinesis, Held, refusal

A = "shardId-000000000000"
NOW = datetime.fromtimestamp(BEGIN_MS / 1000, UTC)
SETTINGS = {
    "streamName": "player-logs",
    "applicationName": "app",
    "s3.bucket": "bucket",
    "regionName": "eu-west-1",
}


def stream_of(kinesis: FakeKinesis, **changes: str) -> Stream:
    settings = load("s3", overrides=changes or SETTINGS)
    waited: list[float] = [0.0]

    def sleep(seconds: float) -> None:
        waited[0] += seconds

    patience = Patience(sleep=sleep, monotonic=lambda: waited[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "stream_client", lambda settings, service: kinesis)
        return Stream(settings, patience, sleep=sleep)


held = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5000)), max_size=12).map(
    lambda gaps: [
        Held(
            sequence=1000 + 3 * number + gap,
            arrived_ms=BEGIN_MS + sum(each for _, each in gaps[: number + 1]),
        )
        for number, (gap, _) in enumerate(gaps)
    ]
)


@given(
    records=held, seed=st.integers(), place=st.integers(0, 60), closed=st.booleans(), page=st.integers(1, 4)
)
def test_the_first_record_from_a_place_on_is_what_a_model_says(
    records: list[Held], seed: int, place: int, closed: bool, page: int
) -> None:
    kinesis = FakeKinesis({A: records}, closed={A} if closed else set(), seed=seed, page=page)
    stream = stream_of(kinesis)
    number, time_ms = 990 + place, BEGIN_MS - 1000 + place * 1000
    for position, fits in (
        (HORIZON, lambda one: True),
        (at_record(str(number)), lambda one: one.sequence >= number),
        (behind_record(str(number)), lambda one: one.sequence > number),
        (at_time(time_ms), lambda one: one.arrived_ms >= time_ms),
    ):
        expected = [
            Arrived(sequence_number=str(one.sequence), arrived_ms=one.arrived_ms, data_bytes=1)
            for one in records
            if fits(one)
        ]
        assert stream.first(A, position) == (expected[0] if expected else None)
        assert list(stream.records(A, position)) == expected
    since = stream.first_since([A], time_ms)
    from_on = stream.first_from({A: str(number)})
    for found, position in ((since, at_time(time_ms)), (from_on, at_record(str(number)))):
        first = stream.first(A, position)
        assert found == ({} if first is None else {A: first})


def test_sizes_are_the_mean_of_some_records() -> None:
    records = [Held(number, BEGIN_MS, b"x" * number) for number in (1, 2, 9)]
    [found] = stream_of(FakeKinesis({A: records})).first_since([A], 0).values()
    assert found.data_bytes == 4


def test_every_page_of_shards_is_read_and_each_knows_its_parents() -> None:
    names = [f"shardId-{number:012}" for number in range(5)]
    kinesis = FakeKinesis(
        {name: [] for name in names},
        parents={names[3]: (names[0],), names[4]: (names[1], names[2])},
        closed={names[0]},
    )
    assert stream_of(kinesis).shards() == {
        name: Shard(
            id=name,
            parents=frozenset(kinesis.parents.get(name, ())),
            is_open=name != names[0],
            hash_keys=("0", "7"),
        )
        for name in names
    }


@pytest.mark.parametrize(("age_hours", "since_hours", "whole"), [(100, 24, False), (5, 5, True)])
def test_a_stream_keeps_its_retention_or_what_it_ever_had(
    age_hours: int, since_hours: int, whole: bool
) -> None:
    kept = stream_of(FakeKinesis({}, made_ms=BEGIN_MS - age_hours * 3_600_000)).retained(NOW)
    assert (kept.since_ms, kept.hours, kept.whole) == (BEGIN_MS - since_hours * 3_600_000, 24, whole)


def test_a_sequence_number_of_nowhere_is_no_record() -> None:
    assert stream_of(FakeKinesis({A: [Held(1000, BEGIN_MS)]})).first(A, at_record("9" * 80)) is None


def test_what_is_throttled_is_asked_again() -> None:
    throttled = refusal("ProvisionedThroughputExceededException")
    kinesis = FakeKinesis({A: [Held(1000, BEGIN_MS)]}, faults=[throttled, throttled])
    assert stream_of(kinesis).first(A, HORIZON) is not None
    assert kinesis.requests == ["get_shard_iterator"] * 3 + ["get_records"]


def test_it_ends_where_throttling_does_not() -> None:
    endless: Any = Endless(refusal("ProvisionedThroughputExceededException"))
    with pytest.raises(TransientError, match="ProvisionedThroughputExceededException"):
        stream_of(FakeKinesis({A: []}, faults=endless)).first(A, HORIZON)


class Endless:
    """A list of one fault that is never used up."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def pop(self, index: int) -> Exception:
        return self._fault


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            refusal("ResourceNotFoundException"),
            'streamName: stream "player-logs" does not exist (regionName eu-west-1)',
        ),
        (
            refusal("AccessDeniedException", "DescribeStreamSummary"),
            'streamName: stream "player-logs": DescribeStreamSummary: AccessDeniedException (regionName eu-west-1)',
        ),
    ],
)
def test_what_waiting_does_not_cure_is_told_in_a_line(fault: Exception, says: str) -> None:
    with pytest.raises(Refused) as refused:
        stream_of(FakeKinesis({A: []}, faults=[fault])).retained(NOW)
    assert str(refused.value) == says


def test_where_nothing_answers_nothing_is_repeated() -> None:
    kinesis = FakeKinesis({A: []}, faults=[EndpointConnectionError(endpoint_url="http://nowhere")])
    with pytest.raises(Unreachable, match="nothing answers for Kinesis"):
        stream_of(kinesis).shards()
    assert len(kinesis.requests) == 1


def test_empty_answers_come_to_an_end() -> None:
    kinesis = FakeKinesis({A: [Held(1000, BEGIN_MS)]}, page=0)
    with pytest.raises(NotReady, match="answers with no record, though there are more"):
        stream_of(kinesis).first(A, HORIZON)


def test_a_stream_in_another_account_is_named_by_its_arn() -> None:
    arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/player-logs"

    class Named(FakeKinesis):
        def get_records(self, **request: Any) -> dict[str, Any]:
            assert request.pop("StreamARN") == arn
            return super().get_records(**request)

    named = Named({A: [Held(1000, BEGIN_MS)]})
    others = {name: value for name, value in SETTINGS.items() if name != "streamName"}
    assert stream_of(named, **others, streamArn=arn).first(A, HORIZON) is not None
