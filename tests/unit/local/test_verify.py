"""The verdict on what was delivered: every way in which a record can be wrong is seen."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.domain.routing import time_parser
from consumer.local.verify import Canonical, DeadLetter, Placement, Row, Verifier, canonical

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIME = "2026-02-28T23:59:59.500Z"


def log(number: int, **fields: Any) -> bytes:
    return json.dumps({"n": number, "player_id": f"{number % 16:x}" * 32, "time": TIME, **fields}).encode()


LOGS = [log(number) for number in range(20)]
PLACEMENT = Placement(
    table_prefix="t",
    key_digits=1,
    key_field="player_id",
    time_field="time",
    parse_time=time_parser("iso8601"),
    run_start=START,
    run_end=START + timedelta(minutes=1),
)


def row(record: bytes, *, table: str | None = None, time: datetime | None = None) -> Row:
    fields = json.loads(record)
    own = fields.get("time")
    return Row(
        table=table or f"t_{fields['player_id'][0].lower()}",
        time=time or (datetime.fromisoformat(own) if own else START),
        log=record,
    )


def dead(record: bytes, reason: str = "no_key") -> DeadLetter:
    return DeadLetter(payload=record, reason=reason)


def test_every_record_once_is_clean() -> None:
    result = Verifier(LOGS).s3(LOGS, [])
    assert (result.delivered, result.dead_letters, result.clean) == (20, 0, True)
    result = Verifier(LOGS).bigquery(map(row, LOGS), [], PLACEMENT)
    assert (result.delivered, result.dead_letters, result.clean) == (20, 0, True)


def test_a_record_in_the_dead_letters_with_its_reason_is_clean() -> None:
    result = Verifier(LOGS).s3(LOGS[1:], [dead(LOGS[0])])
    assert (result.delivered, result.dead_letters, result.clean) == (19, 1, True)


def test_a_dead_letter_without_a_reason_is_not() -> None:
    result = Verifier(LOGS).s3(LOGS[1:], [dead(LOGS[0], "")])
    assert (result.lost, result.unexpected, result.clean) == (1, 1, False)


def test_a_lost_record_is_seen() -> None:
    for result in (
        Verifier(LOGS).s3(LOGS[1:], []),
        Verifier(LOGS).bigquery(map(row, LOGS[1:]), [], PLACEMENT),
    ):
        assert (result.delivered, result.lost, result.duplicated, result.clean) == (19, 1, 0, False)
        assert result.examples[0].startswith("lost")


def test_a_duplicated_record_is_seen() -> None:
    for result in (
        Verifier(LOGS).s3([*LOGS, LOGS[3]], []),
        Verifier(LOGS).bigquery(map(row, [*LOGS, LOGS[3]]), [], PLACEMENT),
    ):
        assert (result.delivered, result.lost, result.duplicated, result.clean) == (20, 0, 1, False)


def test_a_record_both_delivered_and_in_the_dead_letters_is_duplicated() -> None:
    result = Verifier(LOGS).s3(LOGS, [dead(LOGS[3])])
    assert (result.delivered, result.dead_letters, result.duplicated) == (20, 0, 1)


def test_a_record_that_the_next_start_reads_is_waiting_and_not_lost() -> None:
    for result in (
        Verifier(LOGS).s3(LOGS[3:], [], unread=LOGS[1:]),
        Verifier(LOGS).bigquery(map(row, LOGS[3:]), [], PLACEMENT, unread=LOGS[1:]),
    ):
        # what was delivered already and is read once more waits for nothing
        assert (result.delivered, result.waiting, result.lost) == (17, 2, 1)
        assert (result.duplicated, result.clean) == (0, False)
        assert [example[:10] for example in result.examples] == ['lost: {"n"']


def test_one_copy_that_waits_does_not_stand_for_two() -> None:
    result = Verifier([LOGS[0]] * 3).s3([LOGS[0]], [], unread=[LOGS[0]])
    assert (result.delivered, result.waiting, result.lost) == (1, 1, 1)


def test_dead_letters_are_counted_by_reason() -> None:
    letters = [dead(LOGS[0]), dead(LOGS[1]), dead(LOGS[2], "not_json")]
    assert Verifier(LOGS).s3(LOGS[3:], letters).reasons == {"no_key": 2, "not_json": 1}


def test_an_altered_record_is_seen_as_one_lost_and_one_never_put() -> None:
    altered = [log(0, extra=1), *LOGS[1:]]
    for result in (
        Verifier(LOGS).s3(altered, []),
        Verifier(LOGS).bigquery(map(row, altered), [], PLACEMENT),
    ):
        assert (result.delivered, result.lost, result.unexpected, result.clean) == (19, 1, 1, False)


def test_one_record_lost_and_another_twice_do_not_cancel_out() -> None:
    result = Verifier(LOGS).s3([*LOGS[1:], LOGS[5]], [])
    assert (result.lost, result.duplicated, result.clean) == (1, 1, False)


def test_identical_records_are_told_apart_by_their_number() -> None:
    put = [LOGS[0]] * 3
    assert Verifier(put).s3(put, []).clean
    assert Verifier(put).s3(put[:2], [dead(LOGS[0])]).clean
    assert Verifier(put).s3(put[:2], []).lost == 1
    assert Verifier(put).s3([*put, LOGS[0]], []).duplicated == 1


def test_a_row_in_the_wrong_table_is_misplaced() -> None:
    rows = [row(LOGS[0], table="t_1"), *map(row, LOGS[1:])]
    result = Verifier(LOGS).bigquery(rows, [], PLACEMENT)
    assert (result.delivered, result.misplaced, result.clean) == (20, 1, False)
    assert "t_1, belongs in t_0" in result.examples[0]


@pytest.mark.parametrize("off", [timedelta(days=1), timedelta(seconds=1), timedelta(milliseconds=-2)])
def test_a_row_with_another_time_than_its_record_is_misplaced(off: timedelta) -> None:
    rows = [row(LOGS[0], time=datetime.fromisoformat(TIME) + off), *map(row, LOGS[1:])]
    assert Verifier(LOGS).bigquery(rows, [], PLACEMENT).misplaced == 1


@pytest.mark.parametrize("off", [timedelta(0), timedelta(seconds=60)])
def test_a_row_without_a_time_of_its_own_has_one_of_the_run(off: timedelta) -> None:
    for value in (None, "yesterday", 7):
        record = log(0, time=value)
        found = Row(table="t_0", time=START + off, log=record)
        assert Verifier([record]).bigquery([found], [], PLACEMENT).clean


@pytest.mark.parametrize("off", [timedelta(seconds=-1), timedelta(seconds=61)])
def test_a_row_without_a_time_of_its_own_outside_the_run_is_misplaced(off: timedelta) -> None:
    record = log(0, time=None)
    found = Row(table="t_0", time=START + off, log=record)
    assert Verifier([record]).bigquery([found], [], PLACEMENT).misplaced == 1


def test_a_time_with_another_zone_counts_in_utc() -> None:
    record = log(0, time="2026-03-01T00:30:00+02:00")
    right = Row(table="t_0", time=datetime(2026, 2, 28, 22, 30, tzinfo=UTC), log=record)
    assert Verifier([record]).bigquery([right], [], PLACEMENT).clean


def test_the_table_is_that_of_the_lower_cased_digit() -> None:
    record = log(0, player_id="AB" * 16)
    assert Verifier([record]).bigquery([row(record, table="t_a")], [], PLACEMENT).clean
    assert Verifier([record]).bigquery([row(record, table="t_A")], [], PLACEMENT).misplaced == 1


@pytest.mark.parametrize("fields", [{"player_id": 7}, {"player_id": None}])
def test_a_row_without_a_key_belongs_in_no_table(fields: dict[str, Any]) -> None:
    record = log(0, **fields)
    found = Row(table="t_0", time=datetime.fromisoformat(TIME), log=record)
    assert Verifier([record]).bigquery([found], [], PLACEMENT).misplaced == 1


def test_an_object_of_very_many_members_is_the_same_in_any_order() -> None:
    members = [b'"%06x":"abcdefgh"' % number for number in range(100_000)]
    forwards, backwards = (b'{"z":1,%b}' % b",".join(some) for some in (members, members[::-1]))
    assert canonical(forwards) == canonical(backwards)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":2}', b'{ "b": 2,\n "a": 1 }'),
        (b'{"a":1.0}', b'{"a":1}'),
        (b'{"a":[1e2,{"b":0.10}]}', b'{"a":[100,{"b":0.1}]}'),
        (b'"\\u00e9"', '"é"'.encode()),
        (b'{"a":{"y":1,"x":2}}', b'{"a":{"x":2,"y":1}}'),
    ],
)
def test_texts_of_equal_json_value_are_the_same_record(one: bytes, other: bytes) -> None:
    assert Canonical()(one) == Canonical()(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":null}', b"{}"),
        (b'{"a":0.1}', b'{"a":0.10000000000000002}'),
        (b'{"a":12345678901234567890123}', b'{"a":12345678901234567890124}'),
        (b'{"a":1', b'{"a":1 '),
        (b"true", b"1"),
        (b"nope", b'"nope"'),
        (b"", b" "),
    ],
)
def test_anything_else_is_another_record(one: bytes, other: bytes) -> None:
    assert Canonical()(one) != Canonical()(other)
