"""Columns that tell where a row comes from: shard, sequence number, arrival."""

import msgspec

from consumer.domain.records import Record
from consumer.settings.schema import METADATA_COLUMNS
from consumer.sinks.bigquery.rows.times import PartitionTimes
from consumer.sinks.json.members import Member, name_of, with_members

_encode = msgspec.json.Encoder().encode
_OWN_HEADS = (b'"_', rb'"\u005')
"""How a name begins that is one of these columns, in its bytes or as an escape."""


class Metadata:
    """The members of one shard's rows, as JSON without braces."""

    def __init__(self, *, shard: str, times: PartitionTimes) -> None:
        shard_column, sequence_column, arrival_column = METADATA_COLUMNS
        self._shard = shard
        self._head = f'"{shard_column}":{_encode(shard).decode()},"{sequence_column}":"'
        self._arrival = f'","{arrival_column}":"'
        self._times = times

    def members(self, record: Record) -> bytes:
        arrived = self._times.arrival_time(record.arrival_ms)
        return f'{self._head}{record.position}{self._arrival}{arrived}"'.encode()

    def values(self, record: Record) -> tuple[str, str, str]:
        """In the order of the columns."""
        return self._shard, str(record.position), self._times.arrival_time(record.arrival_ms)

    def spliced(self, data: bytes, record: Record) -> bytes:
        """A record with these members before its own; its own of the same names give way."""
        if any(head in data for head in _OWN_HEADS):
            data = with_members(data, _is_another)
        members = self.members(record)
        if data.startswith(b'{"'):
            return b"".join([b"{", members, b",", memoryview(data)[1:]])
        rest = data.strip()[1:].lstrip()
        return b"{%b%b%b" % (members, b"" if rest.startswith(b"}") else b",", rest)


def _is_another(member: Member) -> bool:
    return (
        len(member.raw_name) > _LONGEST_RAW_NAME or name_of(member.raw_name).lower() not in METADATA_COLUMNS
    )


_LONGEST_RAW_NAME = len(r"\u005f") * max(map(len, METADATA_COLUMNS))
