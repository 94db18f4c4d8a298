"""Where dead letters are delivered to: the contract of a redrive with a backend."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import Rejection
from consumer.operate.dead_letters.letters import Letter
from consumer.operate.dead_letters.parcel import Entry, Parcel


@dataclass(frozen=True, slots=True)
class Ready:
    """One record as the backend takes it: where it goes, and its line or row without an end."""

    place: str
    line: bytes


type SaveParcel = Callable[[Parcel], None]
"""Makes it durable that the parcel has changed; raises DeliveryError."""


class Destination(Protocol):
    """One backend. Every method raises DeliveryError."""

    remembers: bool
    """Whether what is in `redriven/` is delivered for good: False where a replay can take it away again."""

    def __str__(self) -> str:
        """For the operator."""

    def chunk(self, letter: Letter, payload: bytes, source: str) -> Chunk:
        """Of a letter's record with this payload. `source` is the key of the letter's object."""

    def prepare(self, letter: Letter, chunk: Chunk) -> Ready | Rejection:
        """The verdict on that chunk, or on the one output of a transform that stands in it."""

    def deliver(self, parcel: Parcel, save: SaveParcel) -> Parcel:
        """Makes each piece durable that is not refused. What is refused meanwhile is saved before anything else is
        delivered in its place; returns the parcel as it was saved last."""

    def still_holds(self, entries: Sequence[Entry]) -> bool:
        """Whether nobody has taken away again what was just delivered of these."""


@dataclass(frozen=True, slots=True)
class NamedChunk(Chunk):
    """Records of a chunk that was larger, under its name."""

    chunk_name: str = ""

    @property
    def name(self) -> str:
        return self.chunk_name


def chunk_of(letter: Letter, payload: bytes, name: str) -> NamedChunk:
    return NamedChunk(Records.of([letter.record(payload)]), chunk_name=name)
