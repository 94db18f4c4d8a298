"""Delivers dead letters again: parcel by parcel, each written down first, delivered, and settled."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import TransientError
from consumer.operate.dead_letters.destination import Destination, Ready
from consumer.operate.dead_letters.letters import Choice, Letter, Refusal, letters_of
from consumer.operate.dead_letters.parcel import Entry, Parcel, Piece
from consumer.operate.dead_letters.places import Places, Source
from consumer.operate.dead_letters.settling import Settlement, settle
from consumer.operate.dead_letters.transform import InForce, Mend, unchanged
from consumer.transforms.contract import TransformFailed

PARCEL_LETTERS = 2000
PARCEL_BYTES = 8 * 1024 * 1024
"""Of payloads and of what is made of them: about what a parcel takes in memory, several times."""
_TURNS = 20


@dataclass(slots=True)
class Counts:
    """Of dead letters. `already` were found to be delivered."""

    redriven: int = 0
    refused: int = 0
    dropped: int = 0
    already: int = 0

    def as_dict(self) -> dict[str, int]:
        return {
            "redriven": self.redriven,
            "refused": self.refused,
            "dropped": self.dropped,
            "already": self.already,
        }


@dataclass(slots=True)
class _Batch:
    """What is taken out of the dead letters, and not yet written down. Settlements are by source."""

    entries: list[Entry] = field(default_factory=list)
    settlements: dict[str, Settlement] = field(default_factory=lambda: defaultdict(Settlement))
    letters: int = 0
    bytes: int = 0

    def is_full(self, most_letters: int) -> bool:
        return self.letters >= most_letters or self.bytes >= PARCEL_BYTES


@dataclass(slots=True, kw_only=True)
class Redrive:
    """`rate` is in letters a second, None for as fast as it goes; `stopping` is asked between parcels; `moved` is told
    of letters that are done with."""

    places: Places
    destination: Destination
    stream: str
    in_force: InForce
    mend: Mend = unchanged
    rate: float | None = None
    stopping: Callable[[], bool] = lambda: False
    moved: Callable[[int], object] = lambda count: None
    sleep: Callable[[float], object] = time.sleep
    counts: Counts = field(default_factory=Counts)
    problems: list[str] = field(default_factory=list)

    def interrupted(self) -> Parcel | None:
        """The parcel of a redrive that was killed. Raises DeliveryError, Unreadable."""
        stored = self.places.bucket.get(self.places.parcel)
        return None if stored is None else Parcel.read(stored.body)

    def finish(self) -> None:
        """Delivers what a killed redrive has begun, if there is anything."""
        parcel = self.interrupted()
        if parcel is not None:
            self._deliver(parcel, {})

    def run(self, choice: Choice, limit: int | None = None) -> None:
        """The chosen letters, the oldest first. Raises DeliveryError; whatever it raises, it can be run again."""
        batch, left = _Batch(), limit
        for source in self.places.sources(choice, self.problems):
            known = self._remembered(source)
            for letter in source.chosen[:left]:
                self._take(batch, source, letter, is_known=letter.identity in known)
                left = None if left is None else left - 1
                if batch.is_full(self._most_letters()):
                    self._flush(batch)
                    batch = _Batch()
                    if self.stopping():
                        return
            if left == 0:
                break
        self._flush(batch)

    def _most_letters(self) -> int:
        """A slow rate makes small parcels, so that there is no long pause between large ones."""
        return PARCEL_LETTERS if self.rate is None else max(1, min(PARCEL_LETTERS, round(self.rate)))

    def _remembered(self, source: Source) -> frozenset[str]:
        """Which letters of an object were delivered before, and have come up again."""
        if not self.destination.remembers:
            return frozenset()
        stored = self.places.bucket.get(self.places.moved("redriven", source.listed.key))
        return frozenset() if stored is None else frozenset(one.identity for one in letters_of(stored.body))

    def _take(self, batch: _Batch, source: Source, letter: Letter, *, is_known: bool) -> None:
        key = source.listed.key
        batch.letters += 1
        batch.bytes += len(letter.payload)
        if is_known:
            self.counts.already += 1
            batch.settlements[key].kept[letter.identity] = ()
            return
        prepared = self.prepared(letter, key)
        if isinstance(prepared, Refusal):
            self.counts.refused += 1
            batch.settlements[key].kept[letter.identity] = (letter.refused(prepared),)
            return
        modified_ms = round(source.listed.modified.timestamp() * 1000)
        batch.entries.append(Entry(key, letter, prepared, modified_ms))
        batch.bytes += sum(len(piece.line) for piece in prepared)

    def prepared(self, letter: Letter, source: str) -> tuple[Piece, ...] | Refusal:
        """What a letter becomes. One payload that the backend does not take keeps the letter as a whole."""
        if letter.stream != self.stream:
            return _refusal(
                "another_stream", f"of the stream {letter.stream}; the settings name {self.stream}"
            )
        try:
            payloads = self.mend(letter.payload)
        except TransformFailed as error:
            return _refusal(error.reason, str(error))
        is_changed = payloads != [letter.payload]
        as_it_came = self._outputs(letter, letter.payload, source) if is_changed else None
        pieces: list[Piece] = []
        for payload in payloads:
            outputs = self._outputs(letter, payload, source)
            if isinstance(outputs, Rejection):
                return _refusal(outputs.reason, outputs.detail)
            for number, ready in outputs.items():
                before = outputs if as_it_came is None else as_it_came
                known = None if isinstance(before, Rejection) else before.get(number)
                line = known.line if known is not None and known.place == ready.place else None
                mended = payload if is_changed else None
                pieces.append(Piece(ready.place, ready.line, mended, line, output=number))
        return tuple(pieces)

    def _outputs(self, letter: Letter, payload: bytes, source: str) -> dict[int, Ready] | Rejection:
        """What goes to the backend, by its number as InForce has it."""
        outputs = self.in_force.outputs(self.destination.chunk(letter, payload, source), letter.outputs)
        if isinstance(outputs, Rejection):
            return outputs
        found: dict[int, Ready] = {}
        for number, chunk in outputs.items():
            ready = self.destination.prepare(letter, chunk)
            if isinstance(ready, Rejection):
                return ready
            found[number] = ready
        return found

    def _flush(self, batch: _Batch) -> None:
        if not batch.letters:
            return
        began = time.monotonic()
        parcel = Parcel(tuple(batch.entries))
        if parcel.entries:
            self._save(parcel)
        self._deliver(parcel, batch.settlements)
        self.moved(batch.letters)
        if self.rate is not None:
            self._pause(batch.letters / self.rate - (time.monotonic() - began))

    def _pause(self, seconds: float) -> None:
        while seconds > 0 and not self.stopping():
            self.sleep(min(seconds, 0.5))
            seconds -= 0.5

    def _save(self, parcel: Parcel) -> None:
        self.places.bucket.put(self.places.parcel, parcel.body())

    def _deliver(self, parcel: Parcel, settlements: dict[str, Settlement]) -> None:
        """`settlements` are of letters beside those of the parcel.

        A daemon that reads the shard again may overwrite what was delivered and write the dead letters anew, perhaps
        just before they are taken out: then all of it is done once more. If it comes later, so do its dead letters.
        """
        for _ in range(_TURNS):
            parcel = self.destination.deliver(parcel, self._save)
            self._settle(parcel, settlements)
            if self.destination.still_holds(parcel.entries):
                break
        else:
            raise TransientError(f"what was delivered to {self.destination} is overwritten again and again")
        self._count(parcel)
        if parcel.entries:
            self.places.bucket.delete(self.places.parcel)

    def _settle(self, parcel: Parcel, settlements: dict[str, Settlement]) -> None:
        entries = dict(parcel.by_source())
        for source in sorted({*entries, *settlements}):
            beside = settlements.get(source, Settlement())
            settlement = Settlement(kept=dict(beside.kept))
            for entry in entries.get(source, ()):
                _settle_entry(settlement, entry)
            settle(self.places, source, settlement)

    def _count(self, parcel: Parcel) -> None:
        for entry in parcel.entries:
            if not entry.pieces:
                self.counts.dropped += 1
            elif entry.kept():
                self.counts.refused += 1
            else:
                self.counts.redriven += 1


def _settle_entry(settlement: Settlement, entry: Entry) -> None:
    kept = entry.kept()
    if not entry.pieces:
        settlement.move("discarded", entry.letter)
    elif len(kept) == len(entry.pieces) == 1:
        settlement.kept[entry.letter.identity] = kept
    else:
        settlement.move("redriven", entry.letter, kept)


def _refusal(reason: str, detail: str) -> Refusal:
    return Refusal(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), reason, detail)
