"""Columns that tell where a row comes from: shard, sequence number, arrival."""

import msgspec

from consumer.domain.records import Record
from consumer.settings.schema import METADATA_COLUMNS
from consumer.sinks.bigquery.times import PartitionTimes

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_OWN_HEAD = b'"_'


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
        if _OWN_HEAD in data:
            data = _without_own(data)
        members = self.members(record)
        if data.startswith(b'{"'):
            return b"{%b,%b" % (members, data[1:])
        rest = data.strip()[1:].lstrip()
        return b"{%b%b%b" % (members, b"" if rest.startswith(b"}") else b",", rest)


def _without_own(data: bytes) -> bytes:
    try:
        members = _decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return data  # half of a surrogate pair: BigQuery refuses the row and says why
    own = [name for name in members if name.lower() in METADATA_COLUMNS]
    if not own:
        return data
    return _encode({name: raw for name, raw in members.items() if name not in own})
