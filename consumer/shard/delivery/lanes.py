"""Lanes: requests that share a quota at the backend wait for each other here, and for nobody else."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gevent.event import AsyncResult

from consumer.domain.concurrency import AdaptiveLimit


class Place:
    """One request's place in a lane."""

    def __init__(self, limit: AdaptiveLimit, ticket: int) -> None:
        self._limit = limit
        self._ticket = ticket

    def passed(self) -> None:
        self._limit.succeeded()

    def refused(self) -> int:
        """The backend asks for less; returns how often it has since the lane's last success, this one aside."""
        self._limit.refused(self._ticket)
        return self._limit.refusals_in_a_row - 1


class Lanes:
    """Lanes by name, made when they are first used; places are given in the order of asking."""

    def __init__(self, ceiling: int) -> None:
        """At most `ceiling` requests are in one lane at once."""
        self._ceiling = ceiling
        self._lanes: dict[str, _Lane] = {}

    @contextmanager
    def place(self, name: str) -> Iterator[Place]:
        """Blocks the calling greenlet until the lane has room."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(AdaptiveLimit(self._ceiling))
        ticket = lane.enter()
        try:
            yield Place(lane.limit, ticket)
        finally:
            lane.leave()


class _Lane:
    def __init__(self, limit: AdaptiveLimit) -> None:
        self.limit = limit
        self._waiting: deque[Any] = deque()

    def enter(self) -> int:
        if self.limit.has_room and not self._waiting:
            return self.limit.enter()
        turn = AsyncResult()
        self._waiting.append(turn)
        ticket: int = turn.get()
        return ticket

    def leave(self) -> None:
        self.limit.leave()
        while self._waiting and self.limit.has_room:
            self._waiting.popleft().set(self.limit.enter())
