"""Which shards go unread, as the embedded Kinesis has seen it: nothing here asks the daemon."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import urllib3

from consumer.local.aws.reads import READS_PATH, Told
from consumer.local.stack import Stack

_SECONDS = 5.0


class ReadsError(Exception):
    """The embedded Kinesis did not answer."""


@dataclass(frozen=True, slots=True)
class Unread:
    """How long ago a shard was last read by anybody of one application, or became due where nobody ever read it.

    `at_end` says that the end of a closed shard was read, and its last records are not checkpointed yet: it may have to
    be read again, or not.
    """

    seconds: float
    at_end: bool = False


@dataclass(slots=True)
class Due:
    """The shards that one application has to read. It remembers what the KCL deletes: leases of shards read to their
    end; and since when a shard is to be read that never was.

    A shard is to be read once all its parents were read to their end and that is checkpointed, which is when the KCL
    makes its lease, until the same is true of itself.
    """

    reader: str
    lease_table: str
    _ended: set[str] = field(default_factory=set)
    _first_due: dict[str, float] = field(default_factory=dict)

    def look(self, told: Told, now: float) -> Mapping[str, Unread]:
        """How long each shard that is to be read has gone without, at `now` in seconds of any one clock."""
        self._ended |= set(told.checkpointed.get(self.lease_table, ()))
        read, at_end = told.read.get(self.reader, {}), told.at_end.get(self.reader, ())
        unread = {}
        for shard, parents in told.parents.items():
            if shard in self._ended or not self._ended.issuperset(parents):
                continue
            due = now - self._first_due.setdefault(shard, now)
            unread[shard] = Unread(read.get(shard, due), shard in at_end)
        return unread


@dataclass(frozen=True, slots=True)
class ReadsControl:
    """Asks the embedded Kinesis of a stack; calls block, and raise ReadsError."""

    stack: Stack
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(timeout=_SECONDS, retries=urllib3.Retry(1)), repr=False
    )

    def ask(self) -> Told:
        url = f"{self.stack.aws_endpoint}{READS_PATH}/{self.stack.region}/{self.stack.stream}"
        try:
            answer = self._pool.request("GET", url)
        except urllib3.exceptions.HTTPError as error:
            raise ReadsError(f"{url}: {error}") from error
        if answer.status != 200:
            raise ReadsError(f"{url}: {answer.status} {answer.data.decode(errors='replace')}")
        return msgspec.json.decode(answer.data, type=Told)
