import base64
import json

import pytest

from tests.bench.inputs import Input, payload, schema

SIZES = (200, 201, 700, 1_000, 10_000, 100_000)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_payload_is_an_object_of_exactly_the_size_asked_for(size: int, ascii_only: bool) -> None:
    made = payload(7, size, ascii_only=ascii_only)
    assert len(made) == size
    assert json.loads(made)["player_id"]
    assert made.isascii() or not ascii_only


def test_a_payload_without_room_for_its_members_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 100 bytes"):
        payload(0, 100)


@pytest.mark.parametrize("is_rich", [True, False])
def test_every_member_of_a_payload_has_a_column(is_rich: bool) -> None:
    columns = schema(Input(record_bytes=700, count=1, is_rich=is_rich))
    assert {column["name"] for column in columns} == json.loads(payload(0, 700, is_rich=is_rich)).keys()


def test_messages_hold_all_records_in_ascending_order() -> None:
    lines = list(Input(record_bytes=200, count=9_000, arrivals_per_second=2_000).lines())
    records = [record for line in lines for record in json.loads(line.text)["records"]]
    numbers = [int(record["sequenceNumber"]) for record in records]
    assert len(set(numbers)) == 9_000
    assert numbers == sorted(numbers)
    assert sum(line.records for line in lines) == 9_000
    arrivals = [record["approximateArrivalTimestamp"] for record in records]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] - arrivals[0] == 4_000  # the third message starts at record 8,000


def test_a_message_tells_the_sum_of_the_numbers_in_it() -> None:
    for line in Input(record_bytes=200, count=4_001).lines():
        records = json.loads(line.text)["records"]
        numbers = [json.loads(base64.b64decode(record["data"]))["number"] for record in records]
        assert line.number_sum == sum(numbers)
        assert line.records == len(numbers)
