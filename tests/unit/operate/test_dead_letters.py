"""Dead letters are read, chosen, grouped, shown and put aside as they were written."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.domain.dead_letters import Rejection, dead_letter
from consumer.operate import lock
from consumer.operate.bucket import Bucket
from consumer.operate.dead_letters.letters import (
    Choice,
    Letter,
    Refusal,
    Unreadable,
    body_of,
    letters_of,
)
from consumer.operate.dead_letters.listing import grouped
from consumer.operate.dead_letters.merged_object import Addition, MergedObject
from consumer.operate.dead_letters.parcel import Entry, Parcel, Piece
from consumer.operate.dead_letters.rendering import Renderer
from consumer.operate.errors import Refused
from consumer.operate.lock import Holder, locked
from consumer.operate.patience import Patience
from consumer.operate.payloads import Payloads
from tests.unit.builders import record
from tests.unit.operate.fake_s3 import BEGIN, FakeS3
from tests.unit.operate.world import World, deep

REASONS = ("not_json", "too_deep", "no_key", "rejected")


def letter(
    payload: bytes = b"{}",
    *,
    sequence: int = 1,
    reason: str = "not_json",
    arrival_ms: int = 0,
    shard: int = 0,
) -> Letter:
    made = dead_letter(
        record(payload, sequence=str(sequence), arrival_ms=arrival_ms),
        Rejection(0, reason, "as told"),  # type: ignore[arg-type]
        application="app",
        stream="logs",
        shard=f"shardId-{shard:012}",
    )
    return Letter(**msgspec.structs.asdict(made))


LETTERS = st.builds(
    letter,
    st.binary(max_size=20),
    sequence=st.integers(1, 10**56),
    reason=st.sampled_from(REASONS),
    arrival_ms=st.integers(0, 5 * 86_400_000),
    shard=st.integers(0, 2),
)


@given(st.lists(LETTERS))
def test_an_object_holds_what_the_daemon_writes_and_reads_back_the_same(letters: list[Letter]) -> None:
    written = gzip.compress(b"".join(msgspec.json.encode(one) + b"\n" for one in letters))
    assert list(letters_of(written)) == letters
    assert list(letters_of(body_of(letters))) == letters
    refused = [one.refused(Refusal("t", "too_deep", "again")) for one in letters]
    assert list(letters_of(body_of(refused))) == refused


@given(LETTERS)
def test_the_record_is_the_one_that_came(one: Letter) -> None:
    arrived = one.record(one.payload)
    assert (arrived.data, arrived.position) == (one.payload, one.position)
    assert datetime.fromtimestamp(arrived.arrival_ms / 1000, UTC) == datetime.fromisoformat(one.arrived_at)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no gzip",
        gzip.compress(b"{}\n", mtime=0),
        gzip.compress(b"no json\n", mtime=0),
        gzip.compress(b"{}\n", mtime=0)[:-3],
    ],
)
def test_what_holds_no_dead_letters_is_told(body: bytes) -> None:
    with pytest.raises(Unreadable):
        list(letters_of(body))


def test_an_object_of_somebody_else_is_told_and_the_others_are_redriven() -> None:
    world = World([[deep(1)]])
    world.s3.put_object(Bucket="bucket", Key="deadletter/app/dt=2026-01-31/notes.txt", Body=b"hello")
    code, told = world.run("redrive", "--yes")
    assert (code, world.lines()) == (1, Counter([deep(1)]))
    assert "notes.txt holds no dead letters" in told
    assert world.s3.body("deadletter/app/dt=2026-01-31/notes.txt") == b"hello"


@given(
    LETTERS,
    st.sets(st.sampled_from(REASONS)),
    st.sets(st.integers(0, 2)),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_a_choice_takes_what_it_says_and_its_days_hold_all_of_it(
    one: Letter, reasons: set[str], shards: set[int], since: int, until: int
) -> None:
    names = frozenset(f"shardId-{shard:012}" for shard in shards)
    choice = Choice(reasons=frozenset(reasons), shards=names, since_ms=since, until_ms=until)
    taken = choice.takes(one)
    assert taken == (
        (not reasons or one.reason in reasons)
        and (not shards or one.shard in names)
        and since <= one.arrival_ms < until
    )
    if taken:  # its chunk may have begun an hour before
        for chunk_began_ms in (one.arrival_ms, one.arrival_ms - 3_600_000):
            day = datetime.fromtimestamp(chunk_began_ms / 1000, UTC).strftime("%Y-%m-%d")
            assert choice.may_hold(day)


@given(st.lists(LETTERS))
def test_groups_count_every_letter_once(letters: list[Letter]) -> None:
    groups = grouped(letters, Renderer(mask=False))
    assert sum(group.count for group in groups) == len(letters)
    assert sum(group.bytes for group in groups) == sum(len(one.payload) for one in letters)
    counted = Counter((one.reason, one.arrived_at[:13], one.shard) for one in letters)
    assert {(group.reason, group.hour[:13], group.shard): group.count for group in groups} == counted


def test_list_tells_groups_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    world = World([[deep(1), deep(2), b"oops"], [b"oops 2"]])
    before = dict(world.s3.objects)
    assert world.run("list", "--json")[0] == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["reason"], one["hour"], one["count"], one["bytes"]) for one in found["groups"]] == [
        ("not_json", "2026-01-31T07:00Z", 1, 4),
        ("not_json", "2026-01-31T08:00Z", 1, 6),
        ("too_deep", "2026-01-31T07:00Z", 2, len(deep(1)) + len(deep(2))),
    ]
    assert world.run("list")[0] == 0
    assert "total" in capsys.readouterr().out.splitlines()[-1]
    assert world.s3.objects == before
    code, told = world.run("list", "--set=applicationName=other")
    place = "beneath s3://bucket/deadletter/other/"
    assert code == 1
    assert told == (
        f"deadletters list: no dead letters of applicationName other {place}; there are some of app\n"
    )


def test_show_prints_the_oldest_records(capsys: pytest.CaptureFixture[str]) -> None:
    world = World([[b'{"a": [1, {"b": "x"}]', b"\x00\xff\x1b[31mred"], [b"later"]])
    world.run("show", "--limit=2")
    out = capsys.readouterr().out
    assert "later" not in out
    assert r"\x00\xff\x1b[31mred" in out
    assert "\x1b" not in out
    world.run("show", "--json", "--limit=1")
    assert json.loads(capsys.readouterr().out)["payload"] == '{"a": [1, {"b": "x"}]'


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_json_is_shown_as_the_same_value(value: object) -> None:
    text = json.dumps(value)
    assert json.loads(Payloads(mask=False).lines(text.encode())) == value


@given(JSON_VALUES)
def test_a_mask_keeps_the_structure_and_no_value(value: object) -> None:
    masked = json.loads(Payloads(mask=True).lines(json.dumps(value).encode()))
    assert masked == masked_value(value)


def masked_value(value: object) -> object:
    if isinstance(value, dict):
        return {name: masked_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [masked_value(each) for each in value]
    return value if value is None or isinstance(value, bool) else "***" if isinstance(value, str) else 0


def test_a_mask_hides_what_is_no_json_and_what_quotes_it() -> None:
    one = letter(b"secret 42; {").refused(Refusal("t", "no_key", "secret"))
    shown = "\n".join(Renderer(mask=True).lines(one))
    assert "secret" not in shown
    assert "as told" not in shown
    assert "42" not in shown
    assert "xxxxxx 99; {" in shown
    assert "secret" not in json.dumps(Renderer(mask=True).as_object(one))


def test_discard_puts_aside_what_is_chosen_killed_or_not() -> None:
    number, killed = 0, True
    while killed:
        world = World([[deep(1), b"oops"], [b"oops 2"]])
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(lock.Holder, "has_ended", lambda self: True)
            killed = world.run_until(number, "discard", "--yes", "--reason=not_json", "--why=noise")
            world.run("discard", "--yes", "--reason=not_json")
        assert world.moved("discarded") == [b"oops", b"oops 2"]
        assert [one.payload for one in world.dead()] == [deep(1)]
        number += 1
    assert world.audits()[0]["reason"] == "noise"
    assert world.lines() == Counter()


def test_discard_leaves_what_a_redrive_has_begun() -> None:
    world = World([[deep(1)]])
    number = 1
    while "deadletter/redriving/app/parcel.ndjson.gz" not in world.s3.objects:
        world = World([[deep(1)]])
        world.run_until(number, "redrive", "--yes")
        number += 1
    code, told = world.run("discard", "--yes")
    assert code == 1
    assert "a redrive was interrupted" in told
    assert len(world.dead()) == 1


def test_no_change_is_made_beneath_other_applications() -> None:
    world = World([[deep(1)]])
    [key] = world.s3.keys("deadletter/app/")
    other = key.replace("/app/", "/app2/")
    world.s3.put_object(Bucket="bucket", Key=other, Body=world.s3.body(key))
    world.run("redrive", "--yes")
    assert other in world.s3.objects
    assert world.dead() == []


# Objects with marks


@given(
    st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), max_size=8),
    st.integers(1, 2500),
)
def test_a_merged_object_reads_as_its_lines_and_knows_what_was_added(base: list[bytes], count: int) -> None:
    content = b"".join(line + b"\n" for line in base)
    added = [Addition(f"shard/{number}", b"+%d" % number, None, True) for number in range(count)]
    merged = MergedObject.read(gzip.compress(content)).with_lines(added)
    body = merged.body()
    assert gzip.decompress(body) == content + b"".join(one.line + b"\n" for one in added)
    again = MergedObject.read(body)
    assert again == merged
    assert again.base_bytes == len(content)
    assert again.missing(added, is_newer=True) == []
    more = Addition("shard/more", b"+0", b"+0", True)
    assert again.missing([more], is_newer=False) == ([] if b"+0" in base else [more])
    assert MergedObject.read(again.with_lines([more]).body()).missing([*added, more], is_newer=False) == []


def test_a_line_that_was_added_is_no_sign_of_a_replay() -> None:
    same = [Addition(f"shard/{number}", b"same", b"same", True) for number in range(2)]
    merged = MergedObject.read(MergedObject().with_lines(same[:1]).body())
    assert merged.missing(same, is_newer=True) == same[1:]


def test_a_payload_of_several_lines_needs_a_newer_object_to_be_there() -> None:
    one = Addition("shard/1", b'{"a":1}', b'{"a":1}', False)
    held = MergedObject.read(gzip.compress(b'{"a":1}\n'))
    assert held.missing([one], is_newer=False) == [one]
    assert held.missing([one], is_newer=True) == []


# Parcels


def test_a_parcel_reads_back_and_its_groups_and_refusals_are_kept() -> None:
    refusal = Refusal("t", "rejected", "no")
    pieces = (Piece("a", b"1"), Piece("b", b"2", b"two"))
    parcel = Parcel(
        (Entry("key", letter(sequence=1), pieces), Entry("key", letter(sequence=2), (Piece("a", b"3"),)))
    )
    assert parcel.open_pieces() == {("a", 0): [(0, 0), (1, 0)], ("b", 0): [(0, 1)]}
    changed = parcel.with_group([(1, 0)]).with_refusals([((0, 1), refusal)])
    assert Parcel.read(changed.body()) == changed
    assert changed.open_pieces() == {("a", 0): [(0, 0)], ("a", 1): [(1, 0)]}
    [kept] = changed.entries[0].kept()
    assert (kept.identity, kept.payload, kept.refusals) == ("shardId-000000000000/1#2", b"two", (refusal,))
    assert changed.entries[1].kept() == []


# The lock


def bucket_of(s3: FakeS3) -> Bucket:
    return Bucket(
        s3,
        "bucket",
        setting="deadletter.bucket",
        put_options={},
        patience=Patience(sleep=lambda seconds: None),
    )


def test_a_lock_is_one_commands_until_it_ends() -> None:
    s3, holder = FakeS3(), Holder.this_process("jo", "deadletters redrive")
    assert not holder.has_ended()
    first, second = (locked(bucket_of(s3), "lock", holder, now=BEGIN) for _ in range(2))
    with first, pytest.raises(Refused, match="deadletters redrive of jo is at work"):
        second.__enter__()
    assert s3.objects == {}


@pytest.mark.parametrize(
    ("change", "seconds", "taken"),
    [
        ({"host": "elsewhere"}, 590, False),
        ({"host": "elsewhere"}, 700, True),
        ({"started": "1"}, 0, True),
        ({"pid": 2**22 + 1}, 0, True),
        ({}, 590, False),
    ],
)
def test_a_lock_of_an_ended_command_is_taken_over(
    change: dict[str, object], seconds: int, taken: bool
) -> None:
    s3, holder = FakeS3(), Holder.this_process("jo", "deadletters redrive")
    s3.put_object(
        Bucket="bucket", Key="lock", Body=msgspec.json.encode(msgspec.structs.replace(holder, **change))
    )
    now = datetime.fromtimestamp(BEGIN.timestamp() + seconds, UTC)
    if taken:
        with locked(bucket_of(s3), "lock", holder, now=now):
            assert msgspec.json.decode(s3.body("lock"), type=Holder) == holder
    else:
        with pytest.raises(Refused):
            locked(bucket_of(s3), "lock", holder, now=now).__enter__()
