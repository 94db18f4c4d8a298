"""What the keeping backend remembers: which record a row or line is, where it is, and what it says of itself."""

import base64
import json

import pyarrow as pa
import pytest

from tests.bench.kept import Bad, Delivered, Keeper, digest_of, row_of

LOG = b'{"player_id":"ab",\n"number":100000000007}'


def as_json(**members: object) -> bytes:
    return json.dumps(members).encode()


def test_a_line_of_an_object_is_known_by_the_number_in_it() -> None:
    keeper = Keeper()
    keeper.put_object("/bucket/player-log/a.gz", LOG.replace(b"\n", b"") + b"\nno number\n")
    keeper.put_object("/bucket/player-log/a.gz", LOG.replace(b"\n", b"") + b"\nno number\n")
    assert keeper.kept().delivered == [
        Delivered(100_000_000_007, digest_of(LOG)),
        Delivered(0, digest_of(b"no number")),
    ]


def test_a_line_with_several_numbers_is_no_record() -> None:
    keeper = Keeper()
    keeper.put_object("/bucket/player-log/a.gz", b'[{"number":100000000007},{"number":100000000008}]\n')
    assert [one.number for one in keeper.kept().delivered] == [0]


def test_a_dead_letter_is_kept_with_its_reason_and_its_payload_s_digest() -> None:
    letter = as_json(
        sequence_number="4907",
        sub_sequence_number=3,
        reason="not_json",
        detail="x" * 1000,
        payload=base64.b64encode(LOG).decode(),
        partition_key="key",
    )
    keeper = Keeper()
    keeper.put_object("/bucket/deadletter/a.gz", letter + b"\n")
    [found] = keeper.kept().letters
    assert (found.sequence_number, found.sub_sequence_number, found.reason) == ("4907", 3, "not_json")
    assert (len(found.detail), found.detail_characters) == (300, 1000)
    assert found.digest == digest_of(LOG)


def test_a_row_s_log_may_be_a_text_or_json_itself() -> None:
    as_text = row_of(as_json(player_id="ab", time="2023-11-14T22:13:20Z", log=LOG.decode()))
    as_object = row_of(b'{"time":"2023-11-14T22:13:20Z","log":%b}' % LOG)
    assert as_text == as_object == Delivered(100_000_000_007, digest_of(LOG))


def test_a_row_of_fields_is_known_by_its_column() -> None:
    assert row_of(as_json(number=100_000_000_007)) == Delivered(100_000_000_007)
    assert row_of(as_json(player_id="ab")) == Delivered(0)


def test_every_member_that_bigquery_takes_for_the_column_shard_is_told() -> None:
    row = row_of(b'{"_shard":"mine","number":100000000007,"_SHARD":"other","\\u005fshard":"forged"}')
    assert row.shards == ("forged", "other")


@pytest.mark.parametrize(
    "row",
    [
        b"[]",
        b'{"number":100000000007',
        b'{"number":100000000007}}',
        b'{"note":"\\ud800"}',
        b'{"note":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        as_json(time="no time at all"),
        as_json(time=7),
    ],
)
def test_what_bigquery_takes_for_no_row_is_none(row: bytes) -> None:
    with pytest.raises(Bad):
        row_of(row)


def test_rows_of_one_insert_id_count_once_and_appended_rows_each_time() -> None:
    keeper = Keeper()
    batch = pa.record_batch({"number": [7, None], "_shard": ["mine", None]})
    for _ in range(2):
        keeper.insert("table id", [Delivered(1)])
        keeper.append(batch)
    assert [one.number for one in keeper.kept().delivered] == [1, 7, 0, 7, 0]
    assert keeper.kept().delivered[1].shards == ("mine",)


def test_an_appended_log_is_known_by_the_number_in_it() -> None:
    keeper = Keeper()
    keeper.append(pa.record_batch({"player_id": ["ab"], "log": [LOG.decode()]}))
    assert keeper.kept().delivered == [Delivered(100_000_000_007, digest_of(LOG))]
