"""How the discarding backend behaves, and what has arrived at it."""

import json
import re
import threading
import time
from collections.abc import Callable
from itertools import count

import msgspec

from tests.bench.tables import Tables

_find_numbers = re.compile(rb'number\\?":(\d{12})').findall


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How this backend answers; what is put to `/behave`."""

    latency_seconds: float = 0.0
    outage: bool = False
    new_table_seconds: float | None = None
    """A table has to be created, and takes rows once it is so old; None: every table is there."""
    first_number: int | None = None
    """Each record has a number of its own, from this one on, and the numbers are remembered."""
    looks_later: bool = False
    """What arrives is kept, and looked at when it is asked for; until then requests say how many records they have. So
    this process takes less of the machine from those that are measured."""


class Counts:
    """What has arrived under a behaviour."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.tables = Tables(new_seconds=behaviour.new_table_seconds or 0.0, clock=time.monotonic)
        self._lock = threading.Lock()
        self._counts = {"requests": 0, "refused": 0, "bytes": 0, "records": 0, "number_sum": 0}
        self._numbers: set[int] = set()
        self._unseen: list[tuple[int, Callable[[], list[int]]]] = []

    def add(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def take(self, size: int, records: int, numbers: Callable[[], list[int]]) -> None:
        """A request of `size` bytes, which says that it has so many records; `numbers` finds theirs."""
        if self.behaviour.looks_later:
            with self._lock:
                self._unseen.append((records, numbers))
            self.add(requests=1, bytes=size, records=records)
            return
        found = numbers()
        self.add(requests=1, bytes=size, records=len(found), number_sum=sum(found))
        if self.behaviour.first_number is not None:
            with self._lock:
                self._numbers.update(found)

    def look(self) -> None:
        """At all that was kept; what requests said of themselves counts no more."""
        with self._lock:
            unseen, self._unseen = self._unseen, []
        for said, numbers in unseen:
            found = numbers()
            self.add(records=len(found) - said, number_sum=sum(found))

    def wait(self) -> None:
        """As long as an answer takes."""
        if self.behaviour.latency_seconds:
            time.sleep(self.behaviour.latency_seconds)

    def as_json(self) -> bytes:
        with self._lock:
            return json.dumps({**self._counts, "unbroken": self._unbroken()}).encode()

    def _unbroken(self) -> int:
        """How many records there are from the first number to the first that is missing."""
        first = self.behaviour.first_number
        if first is None:
            return 0
        return next(place for place in count() if first + place not in self._numbers)


def numbers_in(text: bytes | memoryview) -> list[int]:
    """Of every `inputs.payload` in it, as it is or within the string that a JSON column takes."""
    return [int(number) for number in _find_numbers(text)]
