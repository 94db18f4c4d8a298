"""From a sealed chunk to a durable one: requests in parallel, repeated until they hold, bad records buried.

The only place that knows about concurrency, retries and dead letters; it gives no chunk up (I5, I6).
"""

import random
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
from gevent.pool import Pool

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection, ShareGuard
from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, TransientError
from consumer.domain.retries import RetryPolicy
from consumer.shard.status import ShardStatus
from consumer.sinks.base import Outcome, Sink


class DeadLetters(Protocol):
    """Where rejected records go."""

    def write(self, chunk: Chunk, rejections: Sequence[Rejection]) -> None:
        """Blocks; raises TransientError or SetupError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How delivery waits: injected, so that tests need no time."""

    policy: RetryPolicy
    sleep: Callable[[float], object] = gevent.sleep
    random: Callable[[], float] = random.random


def exit_on_bug() -> None:
    """An exception that nobody foresaw: end, so that the chunk is read again instead of being skipped."""
    import os

    traceback.print_exc(file=sys.stderr)
    sys.stderr.flush()
    os._exit(70)


class Delivery[Request]:
    """Delivers chunks of one shard, several at a time."""

    def __init__(
        self,
        *,
        sink: Sink[Request],
        dead_letters: DeadLetters,
        guard: ShareGuard,
        waiting: Waiting,
        concurrency: int,
        status: ShardStatus,
        on_bug: Callable[[], None] = exit_on_bug,
    ) -> None:
        self._sink = sink
        self._dead_letters = dead_letters
        self._guard = guard
        self._waiting = waiting
        self._requests: Any = Pool(concurrency)
        self._status = status
        self._on_bug = on_bug

    def start(self, chunk: Chunk, on_durable: Callable[[], None]) -> None:
        """Deliver in the background; `on_durable` is called once every record of the chunk is durable (I1)."""
        gevent.spawn(self._run, chunk, on_durable)

    def _run(self, chunk: Chunk, on_durable: Callable[[], None]) -> None:
        try:
            self._deliver(chunk)
            on_durable()
        except Exception:  # noqa: BLE001 - the greenlet's edge: a bug must not look like a chunk that takes long
            self._on_bug()

    def _deliver(self, chunk: Chunk) -> None:
        prepared = self._sink.prepare(chunk)
        rejections = [*prepared.rejections, *self._send_all(prepared.requests)]
        rejections = self._hold_while_suspicious(chunk, rejections)
        if rejections:
            self._repeat("dead letters", lambda: self._dead_letters.write(chunk, rejections))
        self._guard.count(len(chunk.records), len(rejections))
        self._status.delivered(chunk, dead_letters=len(rejections))

    def _send_all(self, requests: Sequence[Request]) -> list[Rejection]:
        if len(requests) == 1:
            return self._send(requests[0])
        running = [self._requests.spawn(self._send, request) for request in requests]
        return [rejection for greenlet in running for rejection in greenlet.get()]

    def _send(self, request: Request) -> list[Rejection]:
        """Send until nothing of the request is left; what comes back rejected is returned."""
        rejections: list[Rejection] = []
        pending = [request]
        attempt = 0
        while pending:
            current = pending.pop()
            outcome = self._repeat("delivery", lambda current=current: self._attempt(current))  # type: ignore[misc]
            rejections += outcome.rejections
            pending += outcome.again
            if outcome.backoff is None:
                attempt = 0
                continue
            self._pause(TransientError(outcome.backoff), attempt)
            attempt += 1
        return rejections

    def _attempt(self, request: Request) -> Outcome[Request]:
        self._status.count("requests")
        try:
            return self._sink.send(request)
        except RequestRefused as error:
            return self._sink.split(request, str(error))

    def _repeat[Result](self, what: str, action: Callable[[], Result]) -> Result:
        attempt = 0
        while True:
            try:
                result = action()
            except DeliveryError as error:
                self._status.retrying(what, error, attempt)
                self._pause(error, attempt)
                attempt += 1
                continue
            if attempt:
                self._status.recovered(what, attempt)
            return result

    def _pause(self, error: DeliveryError, attempt: int) -> None:
        self._status.count("retries")
        self._waiting.sleep(self._waiting.policy.delay_seconds(error, attempt, self._waiting.random))

    def _hold_while_suspicious(self, chunk: Chunk, rejections: list[Rejection]) -> list[Rejection]:
        """Keep the chunk while too many records are bad, asking again in case the cause was mended meanwhile."""
        attempt = 0
        while not self._guard.allows(len(chunk.records), len(rejections)):
            self._status.holding(chunk, rejections)
            self._pause(SetupError("too many dead letters", setting="deadletter.max_ratio"), attempt)
            attempt += 1
            prepared = self._sink.reconsider(chunk, rejections)
            rejections = [*prepared.rejections, *self._send_all(prepared.requests)]
        if attempt:
            self._status.released()
        return rejections
