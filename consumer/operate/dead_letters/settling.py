"""Takes letters out of their object, once it is kept elsewhere what they were: can be repeated at any point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from consumer.operate.bucket import Changed
from consumer.operate.dead_letters.letters import Letter, body_of, letters_of
from consumer.operate.dead_letters.places import Places


@dataclass(slots=True)
class Settlement:
    """What becomes of letters of one object. `moved` are copied to a folder, by its name, before they are taken out;
    `kept` are, by identity, what stands in a letter's place afterwards, nothing for one that is gone."""

    moved: dict[str, list[Letter]] = field(default_factory=dict)
    kept: dict[str, Sequence[Letter]] = field(default_factory=dict)

    def move(self, folder: str, letter: Letter, kept: Sequence[Letter] = ()) -> None:
        self.moved.setdefault(folder, []).append(letter)
        self.kept[letter.identity] = kept


def settle(places: Places, source: str, settlement: Settlement) -> None:
    """Raises DeliveryError, Unreadable."""
    for folder, letters in settlement.moved.items():
        _add(places, places.moved(folder, source), letters)
    while True:
        stored = places.bucket.get(source)
        if stored is None:
            return
        before = list(letters_of(stored.body))
        after = list(_replaced(before, settlement.kept))
        try:
            if not after:
                places.bucket.delete(source, match=stored.etag)
            elif after != before:
                places.bucket.put(source, body_of(after), match=stored.etag)
        except Changed:
            continue
        return


def _replaced(letters: Iterable[Letter], kept: Mapping[str, Sequence[Letter]]) -> Iterable[Letter]:
    for letter in letters:
        yield from kept.get(letter.identity, (letter,))


def _add(places: Places, key: str, letters: Sequence[Letter]) -> None:
    """To those that the object holds already."""
    stored = places.bucket.get(key)
    present = [] if stored is None else list(letters_of(stored.body))
    known = {letter.identity for letter in present}
    new = [letter for letter in letters if letter.identity not in known]
    if new:
        places.bucket.put(key, body_of([*present, *new]))
