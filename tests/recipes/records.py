"""A stream to ask: what players did in two weeks of November, and how customers changed in the 60 days that end with
them.

Records that came late and records that came twice are in it, gaps of exactly 30 minutes, sessions over midnight,
players who come back on the 1st and the 7th day, customers without a change for weeks, and such as leave and return.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

FIRST_DAY, LAST_DAY = date(2026, 11, 1), date(2026, 11, 14)
"""Of players."""
DAYS = (LAST_DAY - FIRST_DAY).days + 1
CHANGES_FIRST_DAY = LAST_DAY - timedelta(days=59)
"""Of customers, of whom there are 10,000 in 60 days."""
PLAYERS, CUSTOMERS = 500, 10_000
GAP = timedelta(minutes=30)

_STEPS = ("install", "tutorial_done", "match", "purchase")
_PLANS = ("free", "plus", "pro")
_COUNTRIES = ("DE", "FR", "JP", "US", None)

type Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A record and when it arrived on the stream."""

    fields: Fields
    time: datetime
    arrived: datetime

    @property
    def data(self) -> bytes:
        return json.dumps(self.fields, ensure_ascii=False).encode()


@cache
def stream() -> tuple[Arrived, ...]:
    """All records in the order in which they arrive."""
    chance = random.Random(20)
    made = [*_action_logs(chance), *_customer_changes(chance)]
    return tuple(sorted(made, key=lambda each: each.arrived))


def of_type(content_type: str) -> list[Arrived]:
    return [each for each in stream() if each.fields["content_type"] == content_type]


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _at(day: date, hour: float) -> datetime:
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


# What players do


def _action_logs(chance: random.Random) -> Iterator[Arrived]:
    number = 0
    for _ in range(PLAYERS):
        player = f"{chance.getrandbits(128):032x}"
        level = 1
        for moment, event in _of_player(chance):
            number += 1
            level += chance.random() < 0.1
            fields: Fields = {
                "content_type": "action_logs",
                "event_id": f"{number:08x}",
                "player_id": player,
                "time": _iso(moment),
                "event": event,
                "level": level,
            }
            if event == "purchase":
                fields["amount"] = chance.choice((0.99, 4.99, 19.99))
            yield from _arriving(chance, fields, moment)


def _of_player(chance: random.Random) -> Iterator[tuple[datetime, str]]:
    """Times and events in their order, and as far as they fall into the two weeks."""
    first = chance.randrange(DAYS - 3)
    later = [
        day for day in range(first + 1, DAYS) if chance.random() < (0.6 if day - first in (1, 7) else 0.25)
    ]
    steps = list(_STEPS[1 : chance.choice((1, 2, 2, 3, 3, 3, 4))])
    if chance.random() < 0.1:
        steps.reverse()  # a purchase before the tutorial's end is no way through the funnel
    for day in (first, *later):
        moment = _at(
            FIRST_DAY + timedelta(days=day), 23.7 if chance.random() < 0.05 else chance.uniform(17, 20)
        )
        yield moment, "install" if day == first else "login"
        for _ in range(chance.randrange(2, 10)):
            moment += (
                chance.choice((GAP, GAP + timedelta(milliseconds=1), timedelta(minutes=45)))
                if chance.random() < 0.1
                else timedelta(milliseconds=chance.randrange(5_000, 400_000))
            )
            if moment.date() > LAST_DAY:
                return
            yield moment, steps.pop(0) if steps and chance.random() < 0.6 else chance.choice(("move", "chat"))


def _arriving(chance: random.Random, fields: Fields, moment: datetime) -> Iterator[Arrived]:
    """Within seconds; some an hour to three days late, and some twice, at once or a day apart."""
    arrived = moment + timedelta(milliseconds=chance.randrange(50, 5_000))
    if chance.random() < 0.03:
        arrived += timedelta(hours=chance.choice((1, 5, 24, 48, 72)))
    yield Arrived(fields, moment, arrived)
    if chance.random() < 0.02:
        yield Arrived(fields, moment, arrived + timedelta(seconds=chance.choice((1, 2, 86_400))))


# How customers change


def _customer_changes(chance: random.Random) -> Iterator[Arrived]:
    """Those of a day come in the hour after it, a few of them a day late."""
    for _ in range(CUSTOMERS):
        customer = f"{chance.getrandbits(128):032x}"
        day, version = chance.randrange(60), 0
        state: Fields = {"status": "active", "plan": "free", "country": chance.choice(_COUNTRIES)}
        while day < 60:
            moments = sorted(
                _at(CHANGES_FIRST_DAY + timedelta(days=day), chance.uniform(0, 23.99)) for _ in range(2)
            )
            if chance.random() < 0.3:
                moments[1] = moments[0]  # two in one millisecond: the version tells which is the later one
            for moment in moments[: 1 if chance.random() < 0.8 else 2]:
                version += 1
                state = _changed(chance, state, version)
                fields: Fields = {
                    "content_type": "customer_changes",
                    "player_id": customer,
                    "time": _iso(moment),
                    "version": version,
                    **state,
                }
                late = 1 if chance.random() < 0.02 else 0
                night = _at(moment.date() + timedelta(days=1 + late), 0.1)
                yield Arrived(fields, moment, night + timedelta(milliseconds=chance.randrange(3_000_000)))
            day += 1 + int(chance.expovariate(1 / 20))


def _changed(chance: random.Random, state: Fields, version: int) -> Fields:
    if version == 1:
        return state
    if state["status"] == "closed":
        return {**state, "status": "active"}
    if chance.random() < 0.1:
        return {**state, "status": "closed"}
    if chance.random() < 0.2:
        return {**state, "country": chance.choice(_COUNTRIES)}
    return {**state, "plan": chance.choice(_PLANS)}
