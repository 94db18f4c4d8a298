"""Pushing beside an event loop: endpoints that fail, hang and come back."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from consumer.daemon.metrics.emf import EmfLines
from consumer.daemon.metrics.metric import Snapshot
from consumer.daemon.supervise.metrics_push import Pushes, pushing
from tests.unit.daemon.statuses import snapshot

DEADLINE_SECONDS = 20.0


class Endpoint:
    """Does as it is told to at each push."""

    def __init__(self, *acts: Callable[[], None]) -> None:
        self.acts = list(acts)
        self.got: list[Snapshot] = []

    def push(self, now: Snapshot) -> None:
        if self.acts:
            self.acts.pop(0)()
        self.got.append(now)


def fails() -> None:
    raise ConnectionError("no route")


def works() -> None:
    """Nothing happens."""


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await scenario

    asyncio.run(within())


def test_failures_are_counted_and_told_ever_more_rarely_and_the_end_of_them_once() -> None:
    endpoint = Endpoint(*[fails] * 5, works, works)
    warned: list[str] = []
    told: list[str] = []

    async def scenario() -> None:
        pushes = Pushes(lambda: endpoint, warn=warned.append, info=told.append)
        for _ in range(7):
            pushes.begin(snapshot())
            await pushes.wait(DEADLINE_SECONDS)
            await asyncio.sleep(0)
        assert pushes.failed == 5

    run(scenario())
    assert [line.partition("(number ")[2] for line in warned] == [
        "1 in a row): no route",
        "2 in a row): no route",
        "4 in a row): no route",
    ]
    assert told == ["metrics.otlp_endpoint takes metrics again after 5 failed pushes"]
    assert len(endpoint.got) == 2


def test_an_endpoint_that_hangs_holds_up_nothing_and_piles_up_nothing() -> None:
    let_go = threading.Event()

    def hangs() -> None:
        let_go.wait(DEADLINE_SECONDS)

    endpoint = Endpoint(hangs)
    warned: list[str] = []

    async def scenario() -> None:
        pushes = Pushes(lambda: endpoint, warn=warned.append, info=print)
        pushes.begin(snapshot())
        before = threading.active_count()
        pushes.begin(snapshot())
        pushes.begin(snapshot())
        assert threading.active_count() == before
        assert pushes.failed == 2
        let_go.set()
        await pushes.wait(DEADLINE_SECONDS)

    run(scenario())
    assert len(endpoint.got) == 1
    assert warned[0].endswith("the one before it has not ended yet")


def test_what_cannot_be_made_is_a_failed_push_and_made_again() -> None:
    endpoint = Endpoint()
    makes: list[Callable[[], None]] = [fails, works]
    warned: list[str] = []

    def make() -> Endpoint:
        makes.pop(0)()
        return endpoint

    async def scenario() -> None:
        pushes = Pushes(make, warn=warned.append, info=print)
        for _ in range(2):
            pushes.begin(snapshot())
            await pushes.wait(DEADLINE_SECONDS)

    run(scenario())
    assert len(warned) == len(endpoint.got) == 1


def test_metrics_are_sent_every_so_often_and_once_at_the_end() -> None:
    endpoint = Endpoint()
    lines: list[str] = []

    async def scenario() -> None:
        pushes = Pushes(lambda: endpoint, warn=print, info=print)
        async with pushing(snapshot, seconds=0.01, pushes=pushes, emf=EmfLines(), write=lines.append):
            while len(endpoint.got) < 2:
                await asyncio.sleep(0.001)
            sent = len(endpoint.got)
        assert len(endpoint.got) > sent

    run(scenario())
    assert len(lines) >= 3


def test_where_nothing_is_to_be_sent_nothing_is_asked() -> None:
    def unasked() -> Snapshot:
        raise AssertionError

    async def scenario() -> None:
        async with pushing(unasked, seconds=0.0, pushes=None, emf=None, write=print):
            await asyncio.sleep(0)

    run(scenario())
