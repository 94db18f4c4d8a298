"""Quantities that are billed, by name: the names are those of prices.toml."""

import threading
from collections import defaultdict
from collections.abc import Hashable

type Counts = dict[str, float]


class Meter:
    """Sums, and numbers of different things. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def add(self, **quantities: float) -> None:
        with self._lock:
            for item, quantity in quantities.items():
                self._sums[item] += quantity

    def note(self, item: str, thing: Hashable) -> None:
        """Count a thing once, however often it comes."""
        with self._lock:
            self._things[item].add(thing)

    def counts(self) -> Counts:
        with self._lock:
            different = {item: float(len(things)) for item, things in self._things.items()}
            return {**self._sums, **different}

    def reset(self) -> None:
        """Begin anew."""
        with self._lock:
            self._sums: defaultdict[str, float] = defaultdict(float)
            self._things: defaultdict[str, set[Hashable]] = defaultdict(set)
