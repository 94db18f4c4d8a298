"""Who has read which shard, and when: what the consumers of a stream say of themselves can be held against it.

`GET /_reads/REGION/STREAM` tells it. A reader is the access key that its requests are signed with.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

READS_PATH = "/_reads"
NOBODY = "unsigned"

_CREDENTIAL = re.compile(r"\bCredential=([^/,\s]+)/")
_SHARD_END = "SHARD_END"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stream.

    `parents` has every shard, `read` how many seconds ago a reader's last GetRecords of a shard was answered,
    `at_end` the shards in which that answer was the end of a closed shard, `checkpointed` those that a lease table
    says were read to their end.
    """

    parents: dict[str, list[str]]
    read: dict[str, dict[str, float]]
    at_end: dict[str, list[str]]
    checkpointed: dict[str, list[str]]


class _Read(msgspec.Struct, frozen=True):
    at: float
    at_end: bool


class Reads:
    """The answered reads of all streams of a region. `clock` is in monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[tuple[str, str], dict[str, _Read]] = {}

    def note(self, reader: str, stream: str, shard: str, *, at_end: bool) -> None:
        self._last.setdefault((stream, reader), {})[shard] = _Read(self._clock(), at_end)

    def of(
        self, stream: str, parents: Mapping[str, list[str]], checkpointed: Mapping[str, list[str]]
    ) -> Told:
        """All that is known of a stream with these shards."""
        now = self._clock()
        last = {reader: shards for (name, reader), shards in self._last.items() if name == stream}
        return Told(
            parents=dict(parents),
            read={
                reader: {shard: now - read.at for shard, read in shards.items()}
                for reader, shards in last.items()
            },
            at_end={
                reader: [shard for shard, read in shards.items() if read.at_end]
                for reader, shards in last.items()
            },
            checkpointed=dict(checkpointed),
        )


def reader_of(authorization: str | None) -> str:
    """The access key in a request's Authorization header."""
    found = _CREDENTIAL.search(authorization or "")
    return found[1] if found else NOBODY


def read_to_their_end(tables: Iterable[Any]) -> dict[str, list[str]]:
    """The shards whose lease says so, by lease table; `tables` are moto's."""
    return {
        table.name: [
            item.attrs["leaseKey"].value
            for item in table.all_items()
            if "checkpoint" in item.attrs and item.attrs["checkpoint"].value == _SHARD_END
        ]
        for table in tables
        if table.hash_key_attr == "leaseKey"
    }
