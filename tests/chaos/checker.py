"""Jepsen's total-queue, for one backend: every acknowledged record comes out once, and nothing else does.

https://github.com/jepsen-io/jepsen/blob/main/jepsen/src/jepsen/checker.clj (total-queue)
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from consumer.settings.table import Backend
from tests.chaos.journal import Journal
from tests.hostile.kinds import DELIVERED

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Held:
    """A record as a backend holds it, the object or table that it is in, and the reason of a dead letter."""

    record: bytes
    place: str
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Tally:
    """How a backend compares with the journal.

    `delivered` and `dead_letters` count attempts found in the one place or the other, `recovered` those of both
    that were never acknowledged. `lost` were acknowledged and are nowhere. `unexpected` is what was never
    attempted or was changed on its way; `misjudged` a good record among the dead letters or a bad one outside,
    a reason that is wrong, or a verdict that is not that of most records alike;
    `duplicated` counts further copies, `twice_in` by the two places they are in, `copies` by record; `forgotten` are
    those that BigQuery has stored again because it had forgotten their insertIds, which are not at fault.
    `verdicts` are what has become of hostile records, by what is alike.
    """

    attempted: int = 0
    acknowledged: int = 0
    delivered: int = 0
    dead_letters: int = 0
    recovered: int = 0
    lost: int = 0
    unexpected: int = 0
    misjudged: int = 0
    duplicated: int = 0
    forgotten: int = 0
    twice_in: Counter[tuple[str, str]] = field(default_factory=Counter)
    copies: Counter[int] = field(default_factory=Counter)
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.unexpected or self.misjudged or self.duplicated)

    def note(self, what: str) -> None:
        """Keep the first few findings."""
        if len(self.examples) < _EXAMPLES:
            self.examples.append(what)


def check(
    journal: Journal, backend: Backend, *, delivered: Iterable[Held], dead_letters: Iterable[Held]
) -> Tally:
    """Compare all that a backend and its dead letters hold with the journal, which must not grow meanwhile."""
    tally = Tally(attempted=len(journal), acknowledged=journal.acknowledged)
    first_places: dict[int, str] = {}
    places: dict[str, str] = {}
    for is_aside, found in ((False, delivered), (True, dead_letters)):
        for held in found:
            number = journal.number_of(held.record)
            if number is None:
                tally.unexpected += 1
                tally.note(f"unexpected in {held.place}: {_text(held.record)}")
                continue
            place = places.setdefault(held.place, held.place)
            if number in first_places:
                tally.duplicated += 1
                tally.copies[number] += 1
                tally.twice_in[first_places[number], place] += 1
                continue
            first_places[number] = place
            if is_aside:
                tally.dead_letters += 1
            else:
                tally.delivered += 1
            _judge(journal, backend, number, held, held.reason if is_aside else DELIVERED, tally)
    _compare(journal, first_places, tally)
    _hold_together(tally)
    return tally


def _judge(journal: Journal, backend: Backend, number: int, held: Held, outcome: str, tally: Tally) -> None:
    is_wrong = not journal.may_become(number, backend, outcome)
    tally.misjudged += is_wrong
    label = journal.label(number)
    if label is None:
        if is_wrong:
            tally.note(f"misjudged in {held.place}: {_text(held.record)}")
        return
    verdicts = tally.verdicts.setdefault(label, Counter())
    verdicts[outcome] += 1
    if is_wrong and verdicts[outcome] == 1:
        tally.note(f"{label}: {outcome} in {held.place}: {_text(held.record)}")


def _hold_together(tally: Tally) -> None:
    """A verdict depends on the record alone, whatever its neighbours and whoever has judged it."""
    for label, verdicts in tally.verdicts.items():
        others = verdicts.total() - max(verdicts.values())
        if others:
            tally.misjudged += others
            tally.note(f"{label}: judged in several ways: {dict(verdicts)}")


def _compare(journal: Journal, found: dict[int, str], tally: Tally) -> None:
    for number in range(len(journal)):
        if journal.is_acknowledged(number):
            if number not in found:
                tally.lost += 1
                tally.note(f"lost: record {number}")
        elif number in found:
            tally.recovered += 1


def _text(record: bytes) -> str:
    return record[:160].decode(errors="replace")
