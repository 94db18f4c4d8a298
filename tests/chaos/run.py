"""One run: feed, faults by the plan, the end of the feed, the drain, the verdict."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from consumer.local import stack as stacks
from consumer.local.backends import BACKENDS
from consumer.local.limits import control as limits_asked
from consumer.local.limits.table import Limits
from consumer.operate.progress import Teller
from consumer.settings.table import Backend
from tests.chaos.acts import carry_out
from tests.chaos.checker import Tally
from tests.chaos.conservation import Conservation
from tests.chaos.feed import Feed, feeding
from tests.chaos.forgotten import Explained, explain, stored_again
from tests.chaos.health import WELL_WITHIN_SECONDS, ReadingFault, Withheld, judge, reading_fault
from tests.chaos.health_watch import HealthWatch
from tests.chaos.holdings import Holdings
from tests.chaos.journal import Fed
from tests.chaos.plan import Planned, lane_of
from tests.chaos.reads import Due, ReadsControl
from tests.chaos.reconciled import reconcile
from tests.chaos.watch import Watch
from tests.chaos.workers import keep
from tests.chaos.world import DEDUPLICATION_SECONDS, World, effective, places_of

_FIRST_SECONDS = 300.0
#: Longer than the KCL may leave a shard alone: two minutes after a leader is gone, two for an answer that got lost.
_STALL_SECONDS = 300.0
_DRAIN_POLL_SECONDS = 2.0


class ChaosError(Exception):
    """The run could not be carried out; it says nothing about the daemon's delivery."""


@dataclass(slots=True, kw_only=True)
class Happened:
    """A fault as it was: seconds since the start of the run, and the outcome in words."""

    fault: Planned
    began: float
    ended: float
    outcome: str


@dataclass(slots=True, kw_only=True)
class Ending:
    """All that a run has found."""

    tallies: dict[Backend, Tally]
    happened: list[Happened] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    """What the health of the workers should have said and did not, or said and should not have."""
    reading: list[ReadingFault] = field(default_factory=list)
    recoveries: dict[Backend, list[float]] = field(default_factory=dict)
    exit_codes: dict[str, int] = field(default_factory=dict)
    failed_puts: int = 0
    drained_seconds: float = 0.0
    objects: int = 0
    limits: dict[str, dict[str, Any]] | None = None
    """What the embedded services have counted and refused, by limit; None where they have none."""
    forgotten: list[Explained] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """Between the backends, as bin/reconcile tells them."""

    @property
    def clean(self) -> bool:
        kept = all(tally.clean for tally in self.tallies.values())
        return kept and not (self.orphans or self.missing or self.untold or self.differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a run is made under; `records` is what it feeds, and can be taken once."""

    records: Iterator[Fed]
    rate: float
    shards: int
    chosen: Mapping[Backend, Mapping[str, str]]
    limits: Limits | None = None


@contextlib.contextmanager
def prepared(directory: Path, conditions: Conditions, progress: Teller) -> Iterator[tuple[World, Holdings]]:
    """A fresh stack and the workers that will run on it; no process outlives the block."""
    with stacks.running(
        directory,
        shards=conditions.shards,
        deduplication_seconds=DEDUPLICATION_SECONDS,
        limits=conditions.limits,
    ) as running:
        settings = effective(running.stack, conditions.chosen)
        world = World(
            stack=running.stack,
            directory=directory,
            chosen=conditions.chosen,
            places=places_of(running.stack, settings),
            say=progress.say,
        )
        try:
            yield world, Holdings(running.stack, settings)
        finally:
            world.abandon()


async def run(
    world: World, holdings: Holdings, planned: list[Planned], conditions: Conditions, progress: Teller
) -> Ending:
    """Carry out a plan. Raises ChaosError when delivery does not even begin."""
    for worker in world.first.values():
        worker.start()
    watch = Watch(holdings)
    conservation = Conservation(
        lambda: {worker.id: worker.status_file() for worker in world.workers()}, progress.seconds
    )
    health = _health_watch(world, progress)
    async with asyncio.TaskGroup() as group:
        helpers = [group.create_task(keep(world.workers, world.say)), group.create_task(watch.follow())]
        helpers.append(group.create_task(conservation.follow()))
        with feeding(world.stack, conditions.records, rate=conditions.rate) as feed:
            await begun(watch, progress)
            progress.say("both backends deliver; the faults begin")
            looking = group.create_task(health.follow())
            happened = await _faults(world, planned, progress)
            await asyncio.to_thread(feed.stop)
        drained_seconds = await drained(world, holdings, feed, watch, progress)
        untold = [] if await _well(health, progress) else ["never well after all was delivered"]
        looking.cancel()
        ending = await ended(world, holdings, feed, progress)
        for helper in helpers:
            helper.cancel()
    health.write(world.directory / "health.json")
    withheld = [Withheld(one.began, one.ended) for one in happened if one.fault.kind.hides_leases]
    ending.drained_seconds = drained_seconds
    ending.untold = [
        *untold,
        *(line for backend in BACKENDS for line in judge(backend, health.looks[backend], withheld)),
    ]
    ending.untold += conservation.faults()
    ending.happened = sorted(happened, key=lambda one: one.began)
    ending.reading = list(_reading_faults(ending.happened, health))
    if conditions.limits is not None:
        _ask_limits(ending, world, feed, conditions.limits, progress)
    progress.say("holding the backends against each other: bin/reconcile")
    ending.differences = await asyncio.to_thread(
        reconcile, world.directory, world.chosen, forgotten=ending.tallies["bigquery"].forgotten
    )
    ending.recoveries = {backend: watch.recoveries(backend, world.killed_at[backend]) for backend in BACKENDS}
    return ending


def _reading_faults(happened: Sequence[Happened], health: HealthWatch) -> Iterator[ReadingFault]:
    """Of both backends: each such fault hits both."""
    reading = [one for one in happened if one.fault.kind.stops_reading]
    for one, following in zip_longest(reading, reading[1:]):
        for backend in BACKENDS:
            yield reading_fault(
                backend,
                one.fault.kind.name,
                health.looks[backend],
                began=one.began,
                ended=one.ended,
                next_began=None if following is None else following.began,
            )


def _ask_limits(ending: Ending, world: World, feed: Feed, limits: Limits, progress: Teller) -> None:
    """What was limited; and which doubled rows insertAll cannot be blamed for. Raises OSError."""
    aws, bigquery = map(limits_asked.report, (world.stack.aws_endpoint, world.stack.bigquery_endpoint))
    ending.limits = {**aws["limits"], **bigquery["limits"]}
    ending.forgotten = explain(
        ending.tallies["bigquery"],
        feed.journal,
        list(stored_again(bigquery, run_began=time.monotonic() - progress.seconds())),
        ending.happened,
        backend="bigquery",
        memory_seconds=limits.value("insert_all.memory"),
    )


def _health_watch(world: World, progress: Teller) -> HealthWatch:
    due = {
        backend: Due(reader=backend, lease_table=world.places.applications[backend]) for backend in BACKENDS
    }
    workers = {backend: (world.first[backend], world.second[backend]) for backend in BACKENDS}
    return HealthWatch(workers, due, ReadsControl(world.stack), progress.seconds)


async def _well(health: HealthWatch, progress: Teller) -> bool:
    """Whether both workers are well soon after all is delivered."""
    deadline = progress.seconds() + WELL_WITHIN_SECONDS
    while not health.all_well() and progress.seconds() < deadline:
        await asyncio.sleep(0.5)
    return health.all_well()


async def begun(watch: Watch, progress: Teller) -> None:
    progress.say("waiting for the first records; the KCL takes up to a minute for its first lease")
    deadline = time.monotonic() + _FIRST_SECONDS
    while not all(watch.latest(backend) for backend in BACKENDS):
        if time.monotonic() > deadline:
            raise ChaosError(f"nothing was delivered within {_FIRST_SECONDS:.0f} s")
        await asyncio.sleep(0.5)


async def _faults(world: World, planned: list[Planned], progress: Teller) -> list[Happened]:
    lanes: dict[str, asyncio.Lock] = {}
    start = time.monotonic()
    tasks = []
    async with asyncio.TaskGroup() as group:
        for fault in planned:
            await asyncio.sleep(max(0.0, start + fault.at_seconds - time.monotonic()))
            lane = lanes.setdefault(lane_of(fault.kind, fault.target), asyncio.Lock())
            tasks.append(group.create_task(_one(world, fault, lane, progress)))
    return [task.result() for task in tasks]


async def _one(world: World, fault: Planned, lane: asyncio.Lock, progress: Teller) -> Happened:
    async with lane:
        began = progress.seconds()
        progress.say(f"begins  {fault}")
        outcome = await carry_out(world, fault)
        progress.say(f"over    {fault}: {outcome}")
        return Happened(fault=fault, began=began, ended=progress.seconds(), outcome=outcome)


async def drained(world: World, holdings: Holdings, feed: Feed, watch: Watch, progress: Teller) -> float:
    """End every fault and let everything drain; returns how many seconds that took."""
    world.lift()
    journal = feed.journal
    progress.say(f"the feed has ended: {len(journal):,} records put, {journal.acknowledged:,} acknowledged")
    began = time.monotonic()
    seconds = await _drained(holdings, feed, watch, progress) - began
    progress.say(f"drained in {seconds:.0f} s")
    return seconds


async def ended(world: World, holdings: Holdings, feed: Feed, progress: Teller) -> Ending:
    """Stop the workers in order, and read the backends."""
    progress.say("stopping the workers with SIGTERM")
    for worker in world.workers():
        worker.wanted = False
    running = [worker for worker in world.workers() if worker.popen is not None and not worker.ended()]
    codes = await asyncio.gather(*(worker.stop() for worker in running))
    progress.say("reading every object, row and dead letter")
    tallies = {
        backend: await asyncio.to_thread(holdings.tally, backend, feed.journal) for backend in BACKENDS
    }
    return Ending(
        tallies=tallies,
        orphans=world.orphans,
        missing=world.missing,
        exit_codes={worker.id: code for worker, code in zip(running, codes, strict=True)},
        failed_puts=feed.failed_calls,
        objects=await asyncio.to_thread(holdings.objects),
    )


async def _drained(holdings: Holdings, feed: Feed, watch: Watch, progress: Teller) -> float:
    """Until the backends miss nothing that was acknowledged, or nothing has moved for a while.

    Returns the moment of the last movement, in monotonic seconds.
    """
    missing = set(BACKENDS)
    expected = {backend: feed.journal.expected(backend) for backend in BACKENDS}
    seen = dict.fromkeys(BACKENDS, -1)
    moved = time.monotonic()
    while missing and time.monotonic() - moved < _STALL_SECONDS:
        await asyncio.sleep(_DRAIN_POLL_SECONDS)
        for backend in sorted(missing):
            if (count := watch.latest(backend)) != seen[backend]:
                seen[backend], moved = count, time.monotonic()
            elif count >= expected[backend] and await _complete(holdings, backend, feed):
                missing.discard(backend)
        progress.show("draining: " + ", ".join(f"{backend} {seen[backend]:,}" for backend in BACKENDS))
    if missing:
        progress.say(f"nothing more was delivered for {_STALL_SECONDS:.0f} s")
    return moved


async def _complete(holdings: Holdings, backend: Backend, feed: Feed) -> bool:
    return not (await asyncio.to_thread(holdings.tally, backend, feed.journal)).lost
