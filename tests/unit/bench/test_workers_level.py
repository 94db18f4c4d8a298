"""The end of level `workers`: what is late, what is lost."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench import workers_level
from tests.bench.kcl import BenchError
from tests.chaos.checker import Tally

PUT = 10


@dataclass
class HostOfTwo:
    """Its first workers deliver so many records, one that is started later so many more."""

    first: int
    later: int
    workers: list[str] = field(default_factory=lambda: ["a", "b"])
    started: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.feed = SimpleNamespace(stop=lambda: None, journal=SimpleNamespace(acknowledged=PUT))

    def start(self, name: str) -> None:
        self.started.append(name)
        self.workers.append(name)

    def stop(self, worker: str) -> None:
        self.workers.remove(worker)

    def await_stopped(self) -> None:
        assert self.workers == []

    def check(self) -> None: ...

    def delivered(self) -> int:
        return self.first + (self.later if self.started else 0)

    def tally(self) -> Tally:
        return Tally(acknowledged=PUT, delivered=self.delivered(), lost=PUT - self.delivered())


def end(host: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(workers_level, "_STALL_SECONDS", 0)
    monkeypatch.setattr(workers_level, "_POLL_SECONDS", 0)
    return workers_level._end(host, lambda line: None)


def test_what_the_workers_deliver_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostOfTwo(first=PUT, later=0)
    row = end(host, monkeypatch)
    assert (row["records"], row["late"], row["lost"]) == (PUT, 0, 0)
    assert (host.workers, host.started) == ([], [])


def test_what_a_new_worker_delivers_is_late_and_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostOfTwo(first=7, later=3)
    row = end(host, monkeypatch)
    assert (row["records"], row["late"], row["lost"]) == (PUT, 3, 0)
    assert (host.workers, host.started) == ([], ["e"])


def test_what_a_new_worker_does_not_deliver_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchError):
        end(HostOfTwo(first=7, later=2), monkeypatch)
