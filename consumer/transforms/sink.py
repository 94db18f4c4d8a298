"""A sink behind a transform: it gets chunks whose records the transform has replaced, and answers about those that were
read."""

import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from consumer.domain.chunks import Chunk
from consumer.domain.columns import Columns
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import TransientError
from consumer.domain.records import Position
from consumer.domain.transformed import TransformedChunk, transformed
from consumer.sinks.base import Outcome, Prepared, Sink
from consumer.sinks.json.judge import Judge
from consumer.transforms.contract import Transform, TransformFailed

RECURSION_ROOM = 1000
"""Levels of Python's stack that a function has to itself, however deep the stack of its caller is: what fails for one
process or command must not pass for another."""
SLOW_SECONDS = 1.0
"""A record that takes longer is told of."""
_TURN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Made:
    """A chunk behind its transform: what the sink gets, the records that were rejected before it, and how many were
    filtered."""

    chunk: TransformedChunk
    rejections: Sequence[Rejection]
    filtered: int


def _nothing(*_: object) -> None:
    pass


def _depth() -> int:
    """Of the caller's stack."""
    depth, frame = 0, sys._getframe(1)
    while (caller := frame.f_back) is not None:
        depth, frame = depth + 1, caller
    return depth + 1


class Step:
    """Calls a transform for each record of a chunk."""

    def __init__(
        self,
        transform: Transform,
        judge: Judge,
        *,
        give_way: Callable[[], object] = _nothing,
        tell_slow: Callable[[Position, float], object] = _nothing,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`give_way` is called between records, so that a long chunk does not keep everything else waiting; `tell_slow`
        gets the position of a record that took so many seconds."""
        self._transform = transform
        self._judge = judge
        self._give_way = give_way
        self._tell_slow = tell_slow
        self._now = now

    def apply(self, chunk: Chunk) -> Made:
        """Raises TransientError where there is no memory for it."""
        rejections: list[Rejection] = []
        payloads: list[Sequence[bytes]] = []
        usual = sys.getrecursionlimit()
        try:
            for part in chunk.records.parts:
                payloads += self._part(chunk, part, len(payloads), rejections)
            made = transformed(chunk, payloads)
        except MemoryError as error:
            raise TransientError(f"no memory for {self._transform.place}") from error
        finally:
            sys.setrecursionlimit(usual)
        return Made(made, rejections, sum(not each for each in payloads) - len(rejections))

    def _part(
        self, chunk: Chunk, part: Columns, first: int, rejections: list[Rejection]
    ) -> Iterator[Sequence[bytes]]:
        call, now = self._transform.outputs, self._now
        refused = self._refused(part, first)
        limit = _depth() + RECURSION_ROOM
        turn = began = now()
        text, begin = memoryview(part.text), 0
        for place, size in enumerate(part.sizes):
            payload = bytes(text[begin : begin + size])
            begin += size + 1
            rejection = refused.get(place)
            outputs: Sequence[bytes] = ()
            if rejection is None:
                sys.setrecursionlimit(limit)  # another chunk may have had its turn
                try:
                    outputs = call(payload)
                except TransformFailed as error:
                    rejection = Rejection(first + place, error.reason, str(error))
            if rejection is not None:
                rejections.append(rejection)
            yield outputs
            ended = now()
            if ended - began > SLOW_SECONDS:
                self._tell_slow(chunk.records.position(first + place), ended - began)
            if ended - turn > _TURN_SECONDS:
                self._give_way()
                turn = ended = now()
            began = ended

    def _refused(self, part: Columns, first: int) -> dict[int, Rejection]:
        """The records that the function is not asked about, by their place in the part."""
        refused: dict[int, Rejection] = {}
        for place, begin in self._judge.unsure(part.text, part.sizes):
            payload = bytes(memoryview(part.text)[begin : begin + part.sizes[place]])
            rejection = self._judge.rejection(payload, first + place)
            if rejection is not None:
                refused[place] = rejection
        return refused


@dataclass(frozen=True, slots=True)
class Of[Request]:
    """A request of the sink, and the chunk that it was made of."""

    request: Request
    made: Made


class TransformingSink[Request]:
    """Keeps the contract of a sink for the records that were read."""

    def __init__(self, sink: Sink[Request], step: Step) -> None:
        self._sink = sink
        self._step = step
        self._last: tuple[Chunk, Made] | None = None

    @property
    def in_order(self) -> bool:
        return self._sink.in_order

    def prepare(self, chunk: Chunk) -> Prepared[Of[Request]]:
        if self._last is None or self._last[0] is not chunk:
            self._last = None
            self._last = chunk, self._step.apply(chunk)
        made = self._last[1]
        prepared = self._sink.prepare(made.chunk)  # raises, and is called again
        self._last = None
        return self._prepared(prepared, made)

    def lane(self, request: Of[Request]) -> str:
        return self._sink.lane(request.request)

    def destination(self, request: Of[Request], index: int) -> str | None:
        """Of the first of its outputs that is in the request."""
        places = request.made.chunk.outputs_of(index)
        found = (self._sink.destination(request.request, place) for place in places)
        return next((place for place in found if place is not None), None)

    def send(self, request: Of[Request]) -> Outcome[Of[Request]]:
        return self._outcome(self._sink.send(request.request), request.made)

    def split(self, request: Of[Request], refusal: str) -> Outcome[Of[Request]]:
        return self._outcome(self._sink.split(request.request, refusal), request.made)

    def reconsider(self, chunk: Chunk, rejections: Sequence[Rejection]) -> Prepared[Of[Request]]:
        made = self._step.apply(chunk)
        failed = {rejection.index for rejection in made.rejections}
        inner = [
            replace(rejection, index=place, outputs=())
            for rejection in rejections
            if rejection.index not in failed
            for place in _places(made.chunk, rejection)
        ]
        return self._prepared(self._sink.reconsider(made.chunk, inner), made)

    def before_checkpoint(self, position: Position) -> None:
        self._sink.before_checkpoint(position)

    def release(self, *, everything: bool) -> None:
        self._sink.release(everything=everything)

    def _prepared(self, prepared: Prepared[Request], made: Made) -> Prepared[Of[Request]]:
        rejections = [*made.rejections, *_of_records(prepared.rejections, made.chunk)]
        rejections.sort(key=lambda rejection: rejection.index)
        released = prepared.may_release_records and not rejections
        if released:
            made.chunk.release()  # the records as read are released by who has them
        return Prepared(
            [Of(request, made) for request in prepared.requests],
            rejections,
            may_release_records=released,
            unread=prepared.unread,
            filtered=made.filtered,
        )

    def _outcome(self, outcome: Outcome[Request], made: Made) -> Outcome[Of[Request]]:
        return Outcome(
            _of_records(outcome.rejections, made.chunk),
            [Of(request, made) for request in outcome.again],
            outcome.backoff,
            outcome.counts,
        )


def _of_records(rejections: Sequence[Rejection], chunk: TransformedChunk) -> list[Rejection]:
    return [
        replace(each, index=chunk.origins[each.index], outputs=chunk.numbers(each.index))
        for each in rejections
    ]


def _places(chunk: TransformedChunk, rejection: Rejection) -> Sequence[int]:
    """Of the outputs that it is about."""
    all_of_them = chunk.outputs_of(rejection.index)
    if not rejection.outputs:
        return all_of_them
    return array("I", [all_of_them[number - 1] for number in rejection.outputs])
