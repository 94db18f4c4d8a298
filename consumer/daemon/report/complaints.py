"""The KCL's warnings and errors: thinned for the log, and remembered for the health."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from dataclasses import dataclass

from consumer.domain.events import Level
from consumer.domain.excerpts import excerpt

_FORGOTTEN_SECONDS = 600.0
"""A message that was not heard for this long is told anew."""
_MOST_KINDS = 200
_LASTING = 3
_LASTING_SECONDS = 60.0
_VARIABLE = re.compile(r"\b(?=[\w-]*[0-9])[\w-]+")
"""Numbers, names with a number in them, and identifiers of requests."""
_FRAME = re.compile(r"\s+at [\w.$/]+\([^)]*\)")
"""Of a Java stack trace, which helps in the log; beside a reason the words of the exceptions are enough."""
_ERROR_CHARACTERS = 600
_THROTTLED = re.compile(
    r"(shardId-\d+) : ProvisionedThroughputExceededException thrown while fetching"
    r"|Shard '(?:.*:)?(shardId-\d+)' has been throttled"
)
"""PrefetchRecordsPublisher and ThrottlingReporter of KCL 3.1.3, of GetRecords; DynamoDB's are told in other words."""
_THROTTLED_SECONDS = 60.0


def kind_of(message: str) -> str:
    """The same for messages that differ in numbers and identifiers only."""
    return _VARIABLE.sub("#", message)


@dataclass(slots=True)
class _Kind:
    first_at: float
    last_at: float
    count: int = 0


@dataclass(frozen=True, slots=True)
class Complaint:
    """`at` is in seconds since the epoch."""

    at: float
    message: str


class Complaints:
    """Counted by kind: a JVM that cannot read logs the same several times a second, for as long as that lasts."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        self._errors: deque[float] = deque(maxlen=_LASTING)
        self._throttled: dict[str, float] = {}
        self.errors = 0
        self.last_error: Complaint | None = None

    def heard(self, level: Level, message: str, *, now: float) -> str | None:
        """What to log of it: the 1st, 2nd, 4th, 8th, … of a kind, with their number; None for the others."""
        if level == "ERROR":
            self.errors += 1
            self._errors.append(now)
            self.last_error = Complaint(now, excerpt(_FRAME.sub("", message), _ERROR_CHARACTERS))
        if throttled := _THROTTLED.search(message):
            self._throttled[throttled[1] or throttled[2]] = now
        kind = self._kind(message, now)
        kind.count += 1
        kind.last_at = now
        if kind.count & (kind.count - 1):
            return None
        if kind.count == 1:
            return message
        return (
            f"{message} ({kind.count} times within {now - kind.first_at:.0f} s; more are counted, not logged)"
        )

    def last(self, *, now: float) -> str | None:
        """The last error, while errors go on: several within the last minute."""
        lasts = len(self._errors) == _LASTING and now - self._errors[0] <= _LASTING_SECONDS
        return self.last_error.message if lasts and self.last_error is not None else None

    def throttled(self, *, now: float) -> frozenset[str]:
        """The shards of which a read was throttled within the last minute."""
        return frozenset(
            shard for shard, moment in self._throttled.items() if now - moment <= _THROTTLED_SECONDS
        )

    def _kind(self, message: str, now: float) -> _Kind:
        name = kind_of(message[:300])
        kind = self._kinds.pop(name, None)
        if kind is None or now - kind.last_at > _FORGOTTEN_SECONDS:
            kind = _Kind(first_at=now, last_at=now)
        self._kinds[name] = kind
        if len(self._kinds) > _MOST_KINDS:
            self._kinds.popitem(last=False)
        return kind
