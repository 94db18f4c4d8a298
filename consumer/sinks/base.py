"""The contract between delivery and a backend."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import DeliveryError
from consumer.domain.records import Position
from consumer.domain.unread_times import Unread


@dataclass(frozen=True, slots=True)
class Prepared[Request]:
    """A chunk cut into independent requests, and the records that no request can carry.

    `may_release_records` tells that the chunk's records are needed no more: no answer can reject one of them. `unread`
    are the times of records that were filed under their arrival, since they hold none. `filtered` counts the records of
    which a transform has made nothing.
    """

    requests: Sequence[Request]
    rejections: Sequence[Rejection] = ()
    may_release_records: bool = False
    unread: Unread | None = None
    filtered: int = 0


@dataclass(frozen=True, slots=True)
class Outcome[Request]:
    """What an answered request left to do.

    `again` holds what has to be sent once more, at once or (`backoff` says why) after a pause; everything else in
    the request is durable, except for the `rejections`. `counts` is what the backend bills, by the name of its
    counter in the status.
    """

    rejections: Sequence[Rejection] = ()
    again: Sequence[Request] = ()
    backoff: DeliveryError | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


class Sink[Request](Protocol):
    """One backend. Its methods may be repeated for the same chunk at any time, by this process or by another:
    the effect is that of doing it once (I2, I3).

    A sink whose rows have an order says so by `in_order`: a chunk is prepared once, and each request of a lane is
    sent, until nothing of it is left, before the next one of the lane that was prepared. Its methods may raise
    Superseded.
    """

    @property
    def in_order(self) -> bool: ...

    def prepare(self, chunk: Chunk) -> Prepared[Request]:
        """Cut and encode; called for the chunks of a shard in order. A record that cannot be encoded is a rejection,
        never an exception. Raises TransientError or SetupError where something has to be there first: then it is
        called again."""

    def lane(self, request: Request) -> str:
        """What the request shares a quota with at the backend: where that is used up, its lane alone slows down."""

    def destination(self, request: Request, index: int) -> str | None:
        """Where the request puts the record with this index in its chunk, an object (s3://…) or a table; None where
        the record is not in it."""

    def send(self, request: Request) -> Outcome[Request]:
        """Make the request durable; blocks the calling greenlet.

        Raises TransientError, SetupError or RequestRefused (consumer.domain.errors) when it did not, or not
        certainly, become durable as a whole; the same request can then be sent again.
        """

    def split(self, request: Request, refusal: str) -> Outcome[Request]:
        """After RequestRefused: smaller requests, or the rejection of the one record that is left."""

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[Request]:
        """Requests for rejected records that may pass by now (a schema was mended); the others stay rejected. Raises
        TransientError or SetupError where nobody can say: then it is called again."""

    def before_checkpoint(self, position: Position) -> None:
        """Every record up to `position` is durable, and the KCL is about to be asked to remember that. Blocks.

        Raises TransientError or SetupError, which put the checkpoint off.
        """

    def release(self, *, everything: bool) -> None:
        """Nothing is on its way. Gives up what the backend holds for this process: all of it, or what has been idle for
        so long that the backend may take it away. Blocks. Raises TransientError, SetupError or Superseded; not to have
        done it costs time later, and no row."""


def holds(indices: Sequence[int], index: int) -> bool:
    """Whether it is among these, which ascend."""
    place = bisect_left(indices, index)
    return place < len(indices) and indices[place] == index


class Unordered:
    """What a sink has that needs no order and keeps nothing of its own."""

    in_order = False

    def before_checkpoint(self, position: Position) -> None:
        """Its backend holds all that there is to know."""

    def release(self, *, everything: bool) -> None:
        """It holds nothing there."""
