"""Protocol input as the KCL writes it, made fast enough that it is not what is measured."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

RECORDS_PER_MESSAGE = 4000
_MESSAGE_BYTES = 4_000_000
"""Payload bytes of one message, where the records are large."""

_FIRST_NUMBER = 10**11
_SEQUENCE_MARK = "49" + "0" * 48
_ARRIVAL_MARK = "1700000000000"
_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One shard's records: every payload has exactly `record_bytes`, at least 160.

    `arrivals_per_second` is how densely the records lie on the stream, and so how full time lets a chunk become;
    `is_rich` adds decimals and arrays, `is_visit` a user agent, a referrer and a number as text; `events` is how many
    kinds of events there are.
    """

    record_bytes: int
    count: int
    arrivals_per_second: int = 10_000
    ascii_only: bool = True
    is_rich: bool = False
    is_visit: bool = False
    events: int = 1

    def lines(self) -> Iterator["Line"]:
        """Messages of the protocol until all records are out; sequence numbers and arrival times ascend."""
        per_message = max(1, min(RECORDS_PER_MESSAGE, _MESSAGE_BYTES // self.record_bytes))
        template = _template(self, per_message)
        given = message = 0
        while given < self.count:
            number = min(per_message, self.count - given)
            text = template if number == per_message else _template(self, number)
            arrival_ms = int(_ARRIVAL_MARK) + given * 1000 // self.arrivals_per_second
            yield Line(_placed(text, message, arrival_ms), number, number_sum(number))
            given += number
            message += 1


@dataclass(frozen=True, slots=True)
class Line:
    """A message, its records, and the sum of the numbers in their payloads, by which a loss is found."""

    text: bytes
    records: int
    number_sum: int

    def without_text(self) -> "Line":
        return replace(self, text=b"")


def number_sum(records: int) -> int:
    """Of a message's payloads, which are numbered from 0 in each."""
    return records * _FIRST_NUMBER + records * (records - 1) // 2


def payload(
    index: int,
    size: int,
    *,
    ascii_only: bool = True,
    is_rich: bool = False,
    is_visit: bool = False,
    events: int = 1,
) -> bytes:
    """A player log of `size` bytes with a `number` that only payloads of the same place in a message share."""
    player = f"{index * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}"
    moment = f"2023-11-14T{index // 3600 % 24:02}:{index // 60 % 60:02}:{index % 60:02}.{index % 1000:03}Z"
    event = f"level_up_{index % events}" if events > 1 else "level_up"
    head = f'{{"player_id":"{player}","time":"{moment}","number":{_FIRST_NUMBER + index},"event":"{event}"'
    if is_rich:
        head += (
            f',"price":{index % 100}.50,"balance":"-{index * 7919}.123456789","tags":["daily","level-{index % 60}"]'
            f',"scores":[{index % 10},{index % 1000},-3,{index * 31}],"rates":[0.5,{index % 7}.25]'
        )
    if is_visit:
        head += (
            f',"user_agent":"{_AGENT}{120 + index % 20}.0.0.0 Safari/537.36"'
            f',"referrer":"https://www.example.com/games/{index % 100}?from=list","since":"{index}"'
        )
    text = head.encode()
    parts = [text]
    left = size - len(text) - len(b',"note":""}')
    for place in range(1, size):
        part = b',"k%d":%d' % (place, index * place % 9973)
        if len(part) > left - 24:
            break
        parts.append(part)
        left -= len(part)
    if left < 0:
        raise ValueError(f"a payload takes more than {size} bytes")
    note = ("" if ascii_only else "Grüße")[: left // 2].encode()
    parts.append(b',"note":"%b%b"}' % (note, b"x" * (left - len(note))))
    return b"".join(parts)


_TYPES = {"time": "TIMESTAMP", "price": "NUMERIC", "balance": "NUMERIC"}
_KINDS = {int: "INTEGER", float: "FLOAT", str: "STRING"}


def schema(wanted: Input) -> list[dict[str, str]]:
    """BigQuery's columns for its payloads: one for each member."""
    return [
        {
            "name": name,
            "type": _TYPES.get(name) or _KINDS[type(value[0] if isinstance(value, list) else value)],
            "mode": "REPEATED" if isinstance(value, list) else "NULLABLE",
        }
        for name, value in json.loads(_payload(wanted, 0)).items()
    ]


def _template(wanted: Input, records: int) -> bytes:
    message = {
        "action": "processRecords",
        "millisBehindLatest": 100_000,
        "records": [
            {
                "action": "record",
                "data": base64.b64encode(_payload(wanted, index)).decode(),
                "partitionKey": f"{index:032x}",
                "sequenceNumber": f"{_SEQUENCE_MARK}{index:06}",
                "subSequenceNumber": 0,
                "approximateArrivalTimestamp": int(_ARRIVAL_MARK),
            }
            for index in range(records)
        ],
    }
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _payload(wanted: Input, index: int) -> bytes:
    return payload(
        index,
        wanted.record_bytes,
        ascii_only=wanted.ascii_only,
        is_rich=wanted.is_rich,
        is_visit=wanted.is_visit,
        events=wanted.events,
    )


def _placed(template: bytes, message: int, arrival_ms: int) -> bytes:
    sequence = f"49{message:048}"
    return template.replace(_SEQUENCE_MARK.encode(), sequence.encode()).replace(
        f":{_ARRIVAL_MARK}}}".encode(), f":{arrival_ms}}}".encode()
    )
