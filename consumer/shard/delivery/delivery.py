"""From a sealed chunk to a durable one: requests in parallel, repeated until they hold, bad records buried.

The only place that knows about concurrency, retries and dead letters; it gives no chunk up (I5, I6).
"""

import os
import random
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection, ShareGuard, one_a_record
from consumer.domain.errors import DeliveryError, RequestRefused, SetupError, Superseded, Throttled
from consumer.domain.retries import RetryPolicy
from consumer.shard.delivery.lane_order import LaneOrder, Turn
from consumer.shard.delivery.lanes import Lanes
from consumer.shard.delivery.status import ShardStatus
from consumer.shard.delivery.taps import Sampled, Taps
from consumer.sinks.base import Outcome, Prepared, Sink


class DeadLetters(Protocol):
    """Where rejected records go."""

    def write(self, chunk: Chunk, rejections: Sequence[Rejection]) -> str:
        """Blocks, and returns where they are; raises TransientError or SetupError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How delivery waits: injected, so that tests need no time."""

    policy: RetryPolicy
    sleep: Callable[[float], object] = gevent.sleep
    random: Callable[[], float] = random.random

    def after(self, error: DeliveryError, attempt: int) -> None:
        self.sleep(self.policy.delay_seconds(error, attempt, self.random))


EXIT_BUG = 70


def exit_on_bug() -> None:
    """An exception that nobody foresaw: end, so that the chunk is read again instead of being skipped."""
    os._exit(EXIT_BUG)


SUPERSEDED_SECONDS = 30.0
"""Longer than a JVM that runs takes to find out that a lease is lost, and then to end the shard process in order."""


def exit_soon() -> None:
    """For a JVM that does not find out: it starts over, and so learns who owns what."""
    gevent.spawn_later(SUPERSEDED_SECONDS, os._exit, 1)


class _Patience:
    """The failures in a row of one piece of work: told to the status, waited out, and told when they are over."""

    def __init__(self, what: str, *, status: ShardStatus, waiting: Waiting) -> None:
        self._what = what
        self._status = status
        self._waiting = waiting
        self._attempt = 0

    def failed(self, error: DeliveryError, failures_of_others: int = 0) -> None:
        """Returns when it is time to try again; what others have met before lengthens the wait, too."""
        self._status.retrying(self._what, error, self._attempt, token=self)
        self._waiting.after(error, max(self._attempt, failures_of_others))
        self._attempt += 1

    def over(self) -> None:
        if self._attempt:
            self._status.recovered(self._what, token=self)
        self._attempt = 0


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
        taps: Taps | None = None,
        on_bug: Callable[[], None] = exit_on_bug,
        on_superseded: Callable[[], None] = exit_soon,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """At most `concurrency` requests are at the backend at once; one that waits to be repeated is not.

        A lane that the backend throttles, or that waits for somebody to mend something, gets fewer of them, down to
        one, and waits as a whole. `on_superseded` is called once, when the shard was found to be another process's;
        nothing is delivered from there on.
        """
        self._sink = sink
        self._dead_letters = dead_letters
        self._guard = guard
        self._waiting = waiting
        self._slots: Any = BoundedSemaphore(concurrency)
        self._lanes = Lanes(concurrency)
        self._status = status
        self._taps = taps
        self._on_bug = on_bug
        self._on_superseded = on_superseded
        self._now = now
        self._superseded = False
        self._turns = LaneOrder()

    def start(self, chunk: Chunk, on_durable: Callable[[], None]) -> None:
        """Deliver in the background; `on_durable` is called once every record of the chunk is durable (I1)."""
        gevent.spawn(self._run, chunk, on_durable, self._turns.announce("chunks"))

    def _run(self, chunk: Chunk, on_durable: Callable[[], None], turn: Turn) -> None:
        try:
            self._deliver(chunk, turn)
            on_durable()
        except Exception:  # noqa: BLE001 - the greenlet's edge: a bug must not look like a chunk that takes long
            self._status.log(
                "ERROR",
                f"bug while delivering chunk {chunk.name}: {traceback.format_exc()}",
                event="shard_crashed",
            )
            self._on_bug()

    def _deliver(self, chunk: Chunk, turn: Turn) -> None:
        with turn:
            prepared = self._prepare(chunk)
            turns = [self._turn_of(request) for request in prepared.requests]
        if prepared.unread is not None:
            self._status.unread_times(prepared.unread)
        sampled = None if self._taps is None else self._taps.sampled(chunk)
        if sampled is not None:
            sampled.goes(prepared.requests)
        if prepared.may_release_records:
            chunk.release()
        filtered = prepared.filtered
        rejections = one_a_record([*prepared.rejections, *self._send_all(prepared.requests, turns)])
        # a dead letter takes several times its record for a moment: requests should not stand beside it
        del prepared, turns
        rejections = self._hold_while_suspicious(chunk, rejections, sampled)
        # counted before they are written: chunks that pass at the same time count each other
        self._guard.count(chunk.count, len(rejections))
        buried = ""
        if rejections:
            self._status.burying(chunk, rejections)
            buried = self._bury(chunk, rejections)
        self._status.delivered(chunk, dead_letters=len(rejections), filtered=filtered)
        if sampled is not None:
            sampled.tell(rejections, buried)

    def _prepare(self, chunk: Chunk) -> Prepared[Request]:
        patience = self._patience("preparation")
        while True:
            try:
                prepared = self._sink.prepare(chunk)
            except DeliveryError as error:
                patience.failed(error)
                continue
            except Superseded as error:
                self._give_up(error)
            patience.over()
            return prepared

    def _turn_of(self, request: Request) -> AbstractContextManager[object]:
        return (
            self._turns.announce(f"lane {self._sink.lane(request)}") if self._sink.in_order else nullcontext()
        )

    def _send_all(
        self, requests: Sequence[Request], turns: Sequence[AbstractContextManager[object]]
    ) -> list[Rejection]:
        if len(requests) == 1:
            return self._send(requests[0], turns[0])
        running = [gevent.spawn(self._send, *both) for both in zip(requests, turns, strict=True)]
        # raises the first bug of any of them, even while others are repeated for ever
        gevent.joinall(running, raise_error=True)
        return [rejection for greenlet in running for rejection in greenlet.value]

    def _send(self, request: Request, turn: AbstractContextManager[object]) -> list[Rejection]:
        """Send until nothing of the request is left; what comes back rejected is returned."""
        with turn:
            return self._send_whole(request)

    def _send_whole(self, request: Request) -> list[Rejection]:
        rejections: list[Rejection] = []
        pending = [request]
        patience = self._patience("delivery")
        while pending:
            with self._lanes.place(self._sink.lane(pending[-1])) as place:
                trouble = self._send_last(pending, rejections)
                if isinstance(trouble, (Throttled, SetupError)):
                    # the place is kept through the pause, or another request would take it and be refused as well
                    patience.failed(trouble, place.refused())
                    continue
                if trouble is None:
                    place.passed()
            if trouble is None:
                patience.over()
            else:
                patience.failed(trouble)
        return rejections

    def _send_last(self, pending: list[Request], rejections: list[Rejection]) -> DeliveryError | None:
        """One attempt for the last of `pending`, which is replaced by what is left of it. Returns what has to be
        waited out before the next one."""
        try:
            outcome = self._attempt(pending[-1])
        except DeliveryError as error:
            return error
        except Superseded as error:
            self._give_up(error)
        for name, amount in outcome.counts.items():
            self._status.count(name, amount)
        pending.pop()
        pending += outcome.again
        rejections += outcome.rejections
        return outcome.backoff

    def _attempt(self, request: Request) -> Outcome[Request]:
        with self._slots:
            self._status.count("requests")
            try:
                return self._timed(request)
            except RequestRefused as error:
                self._status.count("requests_refused")
                return self._sink.split(request, str(error))

    def _timed(self, request: Request) -> Outcome[Request]:
        began = self._now()
        try:
            return self._sink.send(request)
        finally:
            self._status.answered(self._now() - began)

    def _hold_while_suspicious(
        self, chunk: Chunk, rejections: list[Rejection], sampled: Sampled | None
    ) -> list[Rejection]:
        """Keep the chunk while too many records are bad, asking again in case the cause was mended meanwhile."""
        attempt = 0
        while not self._guard.allows(chunk.count, len(rejections)):
            self._status.holding(chunk, rejections)
            self._waiting.after(SetupError("too many dead letters", setting="deadletter.max_ratio"), attempt)
            attempt += 1
            try:
                prepared = self._sink.reconsider(chunk, rejections)
            except DeliveryError:
                continue  # held as before, and asked once more
            if sampled is not None:
                sampled.goes(prepared.requests)
            turns = [self._turn_of(request) for request in prepared.requests]
            rejections = one_a_record([*prepared.rejections, *self._send_all(prepared.requests, turns)])
        if attempt:
            self._status.released(chunk)
        return rejections

    def _bury(self, chunk: Chunk, rejections: Sequence[Rejection]) -> str:
        patience = self._patience("dead letters")
        while True:
            try:
                place = self._dead_letters.write(chunk, rejections)
            except DeliveryError as error:
                patience.failed(error)
                continue
            patience.over()
            return place

    def _give_up(self, error: Superseded) -> NoReturn:
        """Waits for the end of the process, its turns and its chunk unfinished."""
        if not self._superseded:
            self._superseded = True
            self._status.log(
                "WARNING", f"{error}: this process delivers nothing more", event="shard_superseded"
            )
            self._on_superseded()
        while True:
            Event().wait()

    def _patience(self, what: str) -> _Patience:
        return _Patience(what, status=self._status, waiting=self._waiting)
