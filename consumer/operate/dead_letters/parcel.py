"""What a redrive is about to deliver, kept as an object until all of it is settled."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from consumer.operate.dead_letters.letters import Letter, Refusal, Unreadable, lines_of, packed


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One payload for the backend.

    `place` is the key of an object or the name of a table, `line` what goes there, without its end. Pieces of one place
    and `group` are delivered together. `payload` is what a transform has made of the letter's own, None where there
    was none.
    """

    place: str
    line: bytes
    payload: bytes | None = None
    as_it_came: bytes | None = None
    """For an object, its line where the settings take the record without the transform."""
    group: int = 0
    refusal: Refusal | None = None
    output: int = 0
    """Its number among the outputs of the settings' transform, 0 where there are no others."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dead letter with what it becomes: nothing where it was dropped by a transform."""

    source: str
    """The key of the object that it stands in."""
    letter: Letter
    pieces: tuple[Piece, ...]
    source_modified_ms: int = 0

    def identity(self, number: int) -> str:
        """Of one of its pieces: the letter's own where it is the only one."""
        return self.part(number).identity

    def part(self, number: int) -> Letter:
        """One of its pieces as a dead letter."""
        if len(self.pieces) < 2:
            return self.letter
        piece, own = self.pieces[number], self.letter.piece
        name = f"{own}.{number + 1}" if own else str(number + 1)
        payload = self.letter.payload if piece.payload is None else piece.payload
        outputs = (piece.output,) if piece.output else self.letter.outputs
        return msgspec.structs.replace(self.letter, piece=name, payload=payload, outputs=outputs)

    def kept(self) -> list[Letter]:
        """What stays a dead letter."""
        return [
            self.part(number).refused(piece.refusal)
            for number, piece in enumerate(self.pieces)
            if piece.refusal is not None
        ]


type Place = tuple[int, int]
"""A piece of a parcel, by the index of its entry and its own there."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


@dataclass(frozen=True, slots=True)
class Parcel:
    entries: tuple[Entry, ...]

    def body(self) -> bytes:
        return packed(map(_encode, self.entries))

    @classmethod
    def read(cls, body: bytes) -> "Parcel":
        """Raises Unreadable."""
        try:
            return cls(tuple(map(_decode, lines_of(body))))
        except msgspec.MsgspecError as error:
            raise Unreadable(str(error)) from error

    def open_pieces(self) -> dict[tuple[str, int], list[Place]]:
        """What has to be delivered: pieces that were not refused, by place and group."""
        found: dict[tuple[str, int], list[Place]] = defaultdict(list)
        for index, entry in enumerate(self.entries):
            for number, piece in enumerate(entry.pieces):
                if piece.refusal is None:
                    found[piece.place, piece.group].append((index, number))
        return dict(found)

    def piece(self, place: Place) -> Piece:
        return self.entries[place[0]].pieces[place[1]]

    def with_refusals(self, refusals: Iterable[tuple[Place, Refusal]]) -> "Parcel":
        return self._changed({place: {"refusal": refusal} for place, refusal in refusals})

    def with_group(self, places: Iterable[Place]) -> "Parcel":
        """These in a group of their own."""
        group = 1 + max((piece.group for entry in self.entries for piece in entry.pieces), default=0)
        return self._changed({place: {"group": group} for place in places})

    def by_source(self) -> Iterator[tuple[str, list[Entry]]]:
        found: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            found[entry.source].append(entry)
        yield from found.items()

    def _changed(self, changes: dict[Place, dict[str, object]]) -> "Parcel":
        if not changes:
            return self
        entries = list(self.entries)
        for (index, number), change in changes.items():
            pieces = list(entries[index].pieces)
            pieces[number] = msgspec.structs.replace(pieces[number], **change)
            entries[index] = msgspec.structs.replace(entries[index], pieces=tuple(pieces))
        return replace(self, entries=tuple(entries))
