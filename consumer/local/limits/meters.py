"""What was used of each limit: who may use more, who is refused, and how much it was at most."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from consumer.local.limits.table import LIMITS, Limit, Limits

type Clock = Callable[[], float]


class Ahead:
    """A clock that can be put ahead: what lasts for days is over at once."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.seconds = 0.0

    def __call__(self) -> float:
        return self._clock() + self.seconds


class Meter:
    """Uses of one limit within its time, for each scope: a table, a shard, a project."""

    def __init__(self, limit: Limit, clock: Clock) -> None:
        self.limit = limit
        self.counted = 0.0
        self.refused = 0
        self.most = 0.0
        self._clock = clock
        self._uses: dict[str, deque[tuple[float, float]]] = {}
        self._used: dict[str, float] = {}

    def admits(self, scope: str, amount: float = 1) -> bool:
        """Whether so much more stays within the limit now."""
        return self._within(scope) + amount <= self.limit.value

    def add(self, scope: str, amount: float = 1) -> None:
        """Count a use, allowed or not."""
        used = self._within(scope) + amount
        self._uses[scope].append((self._clock(), amount))
        self._used[scope] = used
        self.counted += amount
        self.most = max(self.most, used)

    def _within(self, scope: str) -> float:
        """What was used in the time that counts."""
        uses, used = self._uses.setdefault(scope, deque()), self._used.get(scope, 0.0)
        while uses and self._clock() - uses[0][0] >= self.limit.seconds:
            used -= uses.popleft()[1]
        self._used[scope] = used
        return used


class Bucket(Meter):
    """A limit whose single uses may be larger than what it gives in a second, and are paid off afterwards.

    There is room while less than a second's worth is in the bucket, which leaks at the limit's rate. After a use of
    more than that there is none until all of it has run out.
    """

    def __init__(self, limit: Limit, clock: Clock) -> None:
        super().__init__(limit, clock)
        self._levels: dict[str, tuple[float, float]] = {}
        self._closed_until: dict[str, float] = {}

    def admits(self, scope: str, amount: float = 1) -> bool:
        """Whatever the amount, which is known only afterwards."""
        is_open = self._clock() >= self._closed_until.get(scope, 0.0)
        return is_open and self._within(scope) < self.limit.value

    def add(self, scope: str, amount: float = 1) -> None:
        now, level = self._clock(), self._within(scope) + amount
        self._levels[scope] = now, level
        if amount > self.limit.value:
            self._closed_until[scope] = now + level / self.limit.value
        self.counted += amount
        self.most = max(self.most, level)

    def _within(self, scope: str) -> float:
        now = self._clock()
        at, level = self._levels.get(scope, (now, 0.0))
        return max(0.0, level - (now - at) * self.limit.value)


_PAID_OFF = frozenset(
    {"kinesis.read_bytes", "kinesis.put_bytes", "dynamodb.write_units", "dynamodb.read_units"}
)


class Meters:
    """All limits of a process. Safe to use from several threads."""

    def __init__(self, limits: Limits | None = None, clock: Clock = time.monotonic) -> None:
        self.limits = limits or Limits()
        self.ahead = Ahead(clock)
        self.clock: Clock = self.ahead
        self._lock = threading.Lock()
        self._meters = {
            limit.name: (Bucket if limit.name in _PAID_OFF else Meter)(
                self.limits.limit(limit.name), self.clock
            )
            for limit in LIMITS
        }

    def value(self, name: str) -> float:
        return self._meters[name].limit.value

    def take(self, *uses: tuple[str, str, float]) -> str | None:
        """Use several limits (name, scope, amount), all or none; returns the name of the first that refuses."""
        with self._lock:
            for name, scope, amount in uses:
                if not self._meters[name].admits(scope, amount):
                    self._meters[name].refused += 1
                    return name
            for name, scope, amount in uses:
                self._meters[name].add(scope, amount)
            return None

    def add(self, name: str, scope: str, amount: float = 1) -> None:
        """Count what was used, whatever the limit says."""
        with self._lock:
            self._meters[name].add(scope, amount)

    def used(self, name: str, scope: str) -> float:
        """What was used within the limit's time."""
        with self._lock:
            return self._meters[name]._within(scope)

    def has_room(self, name: str, scope: str) -> bool:
        """Whether one more is allowed; a refusal is counted."""
        with self._lock:
            allowed = self._meters[name].admits(scope)
            self._meters[name].refused += not allowed
            return allowed

    def level(self, name: str, amount: float) -> None:
        """Count how many there are at a time, of a limit without a time of its own."""
        with self._lock:
            meter = self._meters[name]
            meter.counted += 1
            meter.most = max(meter.most, amount)

    def refuse(self, name: str, times: int = 1) -> None:
        """Count a refusal that was decided elsewhere."""
        with self._lock:
            self._meters[name].refused += times

    def report(self, names: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
        """What was counted, refused, and at most used at a time, by name; of all that were touched."""
        with self._lock:
            return {
                name: {
                    "limit": meter.limit.value,
                    "unit": meter.limit.unit,
                    "seconds": meter.limit.seconds,
                    "scope": meter.limit.scope,
                    "counted": round(meter.counted, 1),
                    "refused": meter.refused,
                    "most": round(meter.most, 1),
                }
                for name, meter in self._meters.items()
                if (meter.counted or meter.refused) and (not names or name in names)
            }
