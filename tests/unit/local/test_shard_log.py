"""One shard's records: reading by position, within GetRecords' limits."""

import pytest

from consumer.local.aws.log import MAX_BYTES, MAX_RECORDS, ShardLog


def filled(count: int, *, size: int = 10) -> ShardLog:
    log = ShardLog()
    for number in range(1, count + 1):
        log.append(number * 100, data=b"x" * size, partition_key="k", arrived_at=1000.0 + number)
    return log


def sequences(log: ShardLog, position: int, *, limit: int | None = None, now: float = 0) -> list[int]:
    return [int(record.sequence_number) for record in log.read(position, limit=limit, now=now).records]


def test_a_read_goes_on_after_its_position_whether_or_not_that_is_a_record() -> None:
    log = filled(5)
    assert sequences(log, 0) == [100, 200, 300, 400, 500]
    assert sequences(log, 200) == [300, 400, 500]
    assert sequences(log, 250) == [300, 400, 500]
    assert sequences(log, 500) == []


def test_reading_on_from_the_position_returned_finds_every_record_once() -> None:
    log, position, found = filled(1000), 0, []
    while True:
        part = log.read(position, limit=37, now=0)
        found += [int(record.sequence_number) for record in part.records]
        position = part.position
        if part.at_end:
            break
    assert found == [number * 100 for number in range(1, 1001)]


def test_a_read_ends_at_ten_thousand_records() -> None:
    log = filled(MAX_RECORDS + 1)
    assert len(log.read(0, limit=None, now=0).records) == MAX_RECORDS
    assert len(log.read(0, limit=MAX_RECORDS + 1, now=0).records) == MAX_RECORDS


def test_a_read_ends_before_it_passes_ten_mebibytes() -> None:
    log = filled(12, size=1024 * 1024)
    assert len(log.read(0, limit=None, now=0).records) == 10
    assert MAX_BYTES == 10 * 1024 * 1024


def test_a_single_record_above_the_limit_of_a_read_passes_alone() -> None:
    log = ShardLog()
    for number, size in enumerate((1, MAX_BYTES + 1, 1), start=1):
        log.append(number, data=bytes(size), partition_key="k", arrived_at=0)
    assert [sequences(log, position) for position in (0, 1, 2)] == [[1], [2], [3]]


def test_millis_behind_latest_is_zero_at_the_tip_only() -> None:
    log = filled(3)
    assert log.read(0, limit=None, now=9999).millis_behind_latest == 0
    assert log.read(300, limit=None, now=9999).millis_behind_latest == 0


@pytest.mark.parametrize(("now", "behind"), [(1010.0, 8000), (1002.0, 1), (900.0, 1)])
def test_millis_behind_latest_is_the_age_of_the_next_record_and_never_zero_before_the_tip(
    now: float, behind: int
) -> None:
    assert filled(3).read(0, limit=1, now=now).millis_behind_latest == behind


def test_an_arrival_time_never_falls() -> None:
    log = ShardLog()
    for number, moment in enumerate((5.0, 3.0, 7.0), start=1):
        log.append(number, data=b"", partition_key="k", arrived_at=moment)
    times = [record.approximate_arrival_timestamp for record in log.read(0, limit=None, now=0).records]
    assert times == [5.0, 5.0, 7.0]


@pytest.mark.parametrize(("timestamp", "first"), [(0.0, 100), (1002.0, 200), (1002.5, 300), (1003.0, 300)])
def test_at_timestamp_starts_at_the_first_record_at_or_after_it(timestamp: float, first: int) -> None:
    log = filled(3)
    assert sequences(log, log.position_at(timestamp))[0] == first


def test_at_timestamp_past_the_last_record_waits_for_new_ones() -> None:
    log = filled(3)
    position = log.position_at(9999.0)
    assert sequences(log, position) == []
    log.append(400, data=b"", partition_key="k", arrived_at=9999.0)
    assert sequences(log, position) == [400]
