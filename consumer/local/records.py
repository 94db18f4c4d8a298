"""Records on their way to a stream: read from NDJSON, keyed, cut into PutRecords calls."""

import contextlib
import gzip
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

#: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
MAX_CALL_RECORDS = 500
MAX_CALL_BYTES = 10 * 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One record for PutRecords. `holds` are the user records in it if it is an aggregate."""

    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None
    holds: tuple["Outgoing", ...] = ()

    @property
    def size(self) -> int:
        """Bytes that count against Kinesis' limits."""
        return len(self.data) + len(self.partition_key.encode())

    @property
    def user_records(self) -> int:
        return len(self.holds) or 1

    def hash_key(self) -> int:
        """The point in the stream's hash key range the record belongs to."""
        if self.explicit_hash_key is not None:
            return int(self.explicit_hash_key)
        return int.from_bytes(hashlib.md5(self.partition_key.encode(), usedforsecurity=False).digest())


def read_lines(source: str) -> Iterator[bytes]:
    """The lines of a file, or of stdin for "-", plain or gzip, without their line ends.

    Blank lines are skipped; everything else comes as the bytes it is. Raises OSError.
    """
    with _opened(source) as stream:
        for line in stream:
            if not line.isspace():
                yield line.removesuffix(b"\n").removesuffix(b"\r")


@contextlib.contextmanager
def _opened(source: str) -> Iterator[Iterable[bytes]]:
    if source == "-":
        yield _unpacked(sys.stdin.buffer)
        return
    with Path(source).open("rb") as file:
        yield _unpacked(file)


def _unpacked(stream: Any) -> Iterable[bytes]:
    return gzip.GzipFile(fileobj=stream) if stream.peek(2)[:2] == _GZIP_MAGIC else stream


def keyed(line: bytes, key_field: str) -> Outgoing:
    """A record whose partition key is the line's key field, or the line's MD5 where it has none."""
    return Outgoing(data=line, partition_key=_field(line, key_field) or _digest(line))


def _field(line: bytes, name: str) -> str | None:
    try:
        log = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    value = log.get(name) if isinstance(log, dict) else None
    return value if isinstance(value, str) and len(value) <= 256 else None


def _digest(line: bytes) -> str:
    return hashlib.md5(line, usedforsecurity=False).hexdigest()


def calls(records: Iterable[Outgoing], *, max_records: int = MAX_CALL_RECORDS) -> Iterator[list[Outgoing]]:
    """Cut records into lists that each fit one PutRecords call. A record that fits none goes alone."""
    batch: list[Outgoing] = []
    size = 0
    for record in records:
        if batch and (len(batch) == max_records or size + record.size > MAX_CALL_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += record.size
    if batch:
        yield batch
