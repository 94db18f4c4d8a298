"""Player logs to feed a stream with: about 1 KB of JSON each, the same for the same seed."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EVENTS = ("session_start", "match_start", "move", "combat", "loot", "trade", "chat", "quest", "match_end")
_MAPS = ("harbour", "old_town", "glacier", "canyon", "orbital_station")
_PLATFORMS = ("pc", "ios", "android", "console")
_WORDS = (
    *("storm", "raven", "ember", "willow", "granite", "comet", "lantern", "thistle", "harrow", "quartz"),
    *("meadow", "falcon", "Grüße", "été", "勝利", "удача"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What to generate. Times start at `base_time` and run on at `records_per_second`, with jitter."""

    count: int
    seed: int
    base_time: datetime
    players: int = 1000
    records_per_second: float = 1000.0

    def lines(self) -> Iterator[bytes]:
        """One JSON object a line, without line ends; `log_id` differs on every line."""
        chance = random.Random(self.seed)
        players = [f"{chance.getrandbits(128):032x}" for _ in range(self.players)]
        for number in range(self.count):
            moment = self.base_time + timedelta(seconds=(number + chance.random()) / self.records_per_second)
            yield _line(chance, f"{self.seed:x}-{number:010d}", chance.choice(players), moment)


def midnight_today(now: datetime) -> datetime:
    """A base time that does not change through a day, so that runs of one day repeat each other."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _line(chance: random.Random, log_id: str, player_id: str, moment: datetime) -> bytes:
    log = {
        "log_id": log_id,
        "player_id": player_id,
        "time": moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event": chance.choice(_EVENTS),
        "platform": chance.choice(_PLATFORMS),
        "session": {"id": f"{chance.getrandbits(64):016x}", "seconds": round(chance.random() * 7200, 3)},
        "position": {
            "map": chance.choice(_MAPS),
            "x": round(chance.uniform(-500, 500), 2),
            "y": round(chance.uniform(-500, 500), 2),
        },
        "attributes": {
            "level": chance.randrange(1, 80),
            "gold": chance.randrange(10**6),
            "premium": chance.random() < 0.1,
            "guild": chance.choice((None, "north", "south")),
            "inventory": [
                {"item": chance.choice(_WORDS), "count": chance.randrange(1, 99)}
                for _ in range(chance.randrange(4, 10))
            ],
        },
        "note": " ".join(chance.choices(_WORDS, k=chance.randrange(30, 90))),
    }
    return json.dumps(log, ensure_ascii=False, separators=(",", ":")).encode()
