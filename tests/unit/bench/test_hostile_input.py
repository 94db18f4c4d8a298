"""Messages of hostile records are the KCL's, and what they hold is known by number and sequence number."""

import base64
import json
from collections.abc import Iterable
from typing import Any

from tests.bench.hostile_input import FIRST_NUMBER, HostileInput, place_of
from tests.bench.kept import digest_of
from tests.hostile.kinds import KINDS, LARGE_BYTES, SMALL_BYTES

TWO = [KINDS["json-array"], KINDS["cut-short"]]


def records_of(messages: Iterable[bytes]) -> list[dict[str, Any]]:
    return [one for message in messages for one in json.loads(message)["records"]]


def test_good_records_stand_before_and_after_each_hostile_one() -> None:
    given = HostileInput()
    records = records_of(given.messages(TWO, SMALL_BYTES, each=2))
    kinds = [None if one.kind is None else one.kind.name for one in given.given]
    hostile = ["json-array", "json-array", "cut-short", "cut-short"]
    assert [kind for kind in kinds if kind] == hostile
    assert kinds[0] is kinds[-1] is None
    assert all(kinds[place - 1] is None for place, kind in enumerate(kinds) if kind)
    assert len(records) == len(given.given) == 10


def test_a_record_is_found_again_by_sequence_number_and_digest() -> None:
    given = HostileInput()
    for record in records_of(given.messages(TWO, SMALL_BYTES, each=2)):
        payload = base64.b64decode(record["data"])
        one = given.given[place_of(record["sequenceNumber"], record["subSequenceNumber"])]
        assert (one.digest, one.size_bytes) == (
            digest_of(payload),
            len(payload) + len(record["partitionKey"]),
        )


def test_large_records_come_in_messages_of_their_own_and_are_made_as_they_are_asked_for() -> None:
    given = HostileInput()
    messages = given.messages([KINDS["escaped-quotes"]], LARGE_BYTES, each=3)
    assert len(json.loads(next(messages))["records"]) == 2
    assert len(given.given) == 2
    assert [len(json.loads(message)["records"]) for message in messages] == [2, 2, 1]


def test_the_flood_is_one_message_of_records_with_one_sequence_number_between_good_ones() -> None:
    given = HostileInput()
    before, flood, after = (json.loads(message)["records"] for message in given.flood(20_000))
    assert (len(before), len(flood), len(after)) == (1, 20_000, 1)
    assert len({record["sequenceNumber"] for record in flood}) == 1
    assert {record["subSequenceNumber"] for record in flood} == set(range(20_000))
    last = flood[-1]
    place = place_of(last["sequenceNumber"], last["subSequenceNumber"])
    assert json.loads(base64.b64decode(last["data"]))["number"] == FIRST_NUMBER + place
    assert given.given[place].digest == digest_of(base64.b64decode(last["data"]))
    assert int(after[0]["sequenceNumber"]) > int(last["sequenceNumber"])
