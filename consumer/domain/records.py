"""The record as the MultiLang protocol carries it, and its place in a shard."""

import msgspec


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in one shard. The core compares positions for equality only: order is the order of arrival."""

    sequence_number: str
    sub_sequence_number: int

    def __str__(self) -> str:
        """As object keys and log lines write it: the sub-sequence number only where there is one."""
        if self.sub_sequence_number:
            return f"{self.sequence_number}.{self.sub_sequence_number}"
        return self.sequence_number


class Record(msgspec.Struct, gc=False, rename="camel"):
    """One user record of a `processRecords` message; aggregated records arrive here already taken apart.

    The field names are the protocol's (`partitionKey`, `sequenceNumber`, …); base64 is undone while decoding.
    User records of one aggregate share a sequence number and differ in the sub-sequence number.
    """

    data: bytes
    partition_key: str
    sequence_number: str
    sub_sequence_number: int = 0
    arrival_ms: int = msgspec.field(name="approximateArrivalTimestamp", default=0)
    """Milliseconds since the epoch, approximate, not monotone."""

    @property
    def position(self) -> Position:
        return Position(self.sequence_number, self.sub_sequence_number)
