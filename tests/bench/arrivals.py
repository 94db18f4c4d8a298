"""What has come out at the end of the KCL, by which a loss is found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.bench.backend import Backend
from tests.bench.kcl import BenchError


class Arrivals(Protocol):
    def records(self) -> int:
        """So far. Blocks for a moment."""

    def check(self, records: int, number_sum: int) -> None:
        """Raises BenchError unless that is all that arrived; `number_sum` is of the numbers in the payloads."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """By shard processes to the backend."""

    backend: Backend

    def records(self) -> int:
        return self.backend.said().records

    def check(self, records: int, number_sum: int) -> None:
        arrived = self.backend.arrived()
        if (arrived.records, arrived.number_sum) != (records, number_sum):
            raise BenchError(
                f"{arrived.records} of {records} records arrived"
                f" (sum of their numbers: {arrived.number_sum} of {number_sum})"
            )


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """By children that note in a file how many records each message had; they do not look at payloads."""

    counts: Path

    def records(self) -> int:
        return sum(map(int, self.counts.read_text().split())) if self.counts.exists() else 0

    def check(self, records: int, number_sum: int) -> None:
        if (counted := self.records()) != records:
            raise BenchError(f"{counted} of {records} records were acknowledged")
