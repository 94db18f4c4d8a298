"""File names of objects: `<stream>-<shard>-<first record>-<records>.<format>`, the last part of every key.

Whoever reads keys relies on this part alone. What stands before it is a prefix and a path that settings choose.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from consumer.domain.records import Position

_NAME = re.compile(
    r"(?P<stem>[^/]+)-(?P<sequence>[0-9]+)(?:\.(?P<sub>[0-9]+))?-(?P<records>[0-9]+)\.(?P<format>[a-z.]+)"
)


class ObjectName(NamedTuple):
    """`stem` is `<stream>-<shard>`, `first` the first record of the chunk, `records` how many that has; an object holds
    those of them that its path is for. `format` is the extension without its dot, as `s3.format` has it."""

    stem: str
    first: Position
    records: int
    format: str


def object_name(stem: str, chunk_name: str, extension: str = "ndjson.gz") -> str:
    """`chunk_name` as Chunk.name has it."""
    return f"{stem}-{chunk_name}.{extension}"


def parse_object_name(key: str) -> ObjectName | None:
    """What the last part of a key says; None where it is no such name."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    if found is None:
        return None
    first = Position(found["sequence"], int(found["sub"] or 0))
    return ObjectName(found["stem"], first, int(found["records"]), found["format"])
