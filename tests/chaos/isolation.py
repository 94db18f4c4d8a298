"""Isolation, measured: one backend refuses everything, and the other is watched before, meanwhile and after."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from consumer.local.backends import BACKENDS
from consumer.operate.progress import Teller
from consumer.settings.table import Backend
from tests.chaos.catalogue import KINDS
from tests.chaos.feed import feeding
from tests.chaos.holdings import Holdings
from tests.chaos.plan import Planned
from tests.chaos.processes import Proc
from tests.chaos.requests import rules_of
from tests.chaos.run import Conditions, Ending, begun, drained, ended
from tests.chaos.watch import Sample, Watch
from tests.chaos.workers import Worker, keep
from tests.chaos.world import World

_SAMPLE_SECONDS = 0.5
_CATCH_UP_SECONDS = 300.0
_LEAST_RATIO = 0.95
_RESUME_SECONDS = 10.0
_DIRECTIONS: tuple[tuple[Backend, Backend], ...] = (("bigquery", "s3"), ("s3", "bigquery"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Delivery of one backend during a while; ages are of its oldest undelivered record."""

    seconds: float
    records_per_second: float
    mean_age_seconds: float
    max_age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """How the backend's own worker came through.

    `memory_before` and `memory_peak` are bytes resident in its largest shard process; `ended` counts the shard
    processes that the outage did not leave running; `resumed_seconds` runs from its end to the next record
    delivered, and is None where none was.
    """

    seconds: float
    refused_requests: int
    memory_before: int
    memory_peak: int
    ended: int
    resumed_seconds: float | None

    @property
    def holds(self) -> bool:
        """Every shard process has lived through it, and delivery went on within ten seconds."""
        resumed = self.resumed_seconds
        return not self.ended and resumed is not None and resumed <= _RESUME_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What `observed` did while `down` refused everything, and how `down` came through."""

    down: Backend
    observed: Backend
    before: Phase
    during: Phase
    after: Phase
    outage: Outage

    @property
    def ratio(self) -> float:
        """Throughput during the outage over that before."""
        return self.during.records_per_second / max(self.before.records_per_second, 1e-9)

    @property
    def holds(self) -> bool:
        """No slower than 95 %, no mean age that the phases without an outage do not show, and resumed in time."""
        calm = max(self.before.max_age_seconds, self.after.max_age_seconds)
        isolated = self.ratio >= _LEAST_RATIO and self.during.mean_age_seconds <= calm
        return isolated and self.outage.holds


class _Shard(msgspec.Struct):
    oldest_undelivered_ms: int | None = None


class _Status(msgspec.Struct):
    shards: list[_Shard] = []


async def run_isolation(
    world: World,
    holdings: Holdings,
    conditions: Conditions,
    progress: Teller,
    *,
    outage_seconds: float,
    calm_seconds: float,
) -> tuple[list[Isolation], Ending]:
    """Both directions, one after the other, and the usual verdict over all records. Raises ChaosError."""
    for worker in world.first.values():
        worker.start()
    watch = Watch(holdings)
    found = []
    async with asyncio.TaskGroup() as group:
        helpers = [group.create_task(keep(world.workers, world.say)), group.create_task(watch.follow())]
        with feeding(world.stack, conditions.records, rate=conditions.rate) as feed:
            await begun(watch, progress)
            for down, observed in _DIRECTIONS:
                direction = _Direction(world, watch, progress, down=down, observed=observed)
                await direction.caught_up(lambda: len(feed.journal), conditions.rate)
                found.append(await direction.measure(outage_seconds, calm_seconds))
            await asyncio.to_thread(feed.stop)
        drained_seconds = await drained(world, holdings, feed, watch, progress)
        ending = await ended(world, holdings, feed, progress)
        ending.drained_seconds = drained_seconds
        for helper in helpers:
            helper.cancel()
    return found, ending


class _Direction:
    """One backend down, the other observed."""

    def __init__(
        self, world: World, watch: Watch, progress: Teller, *, down: Backend, observed: Backend
    ) -> None:
        self._world = world
        self._watch = watch
        self._progress = progress
        self._down = down
        self._observed = observed
        self._memory_peak = 0

    async def caught_up(self, put: Callable[[], int], rate: float) -> None:
        """Wait until neither backend is more than ten seconds behind the feed."""
        deadline = time.monotonic() + _CATCH_UP_SECONDS
        while time.monotonic() < deadline and any(
            put() - self._watch.latest(backend) > 10 * rate for backend in BACKENDS
        ):
            await asyncio.sleep(1)

    async def measure(self, outage_seconds: float, calm_seconds: float) -> Isolation:
        before = await self._phase("before the outage", calm_seconds)
        processes = self._world.first[self._down].shard_processes()
        memory_before = largest(processes)
        rules = rules_of(_refusal(self._down, outage_seconds), self._world.places)
        hits = 0
        try:
            for endpoint, name, rule in rules:
                await asyncio.to_thread(self._world.controls[endpoint].put, name, rule)
            during = await self._phase(f"{self._down} refuses everything", outage_seconds)
        finally:
            for endpoint, name, _ in rules:
                hits += self._world.controls[endpoint].lift(name)
        lifted = time.monotonic()
        ended = sum(not process.alive() for process in processes)
        after = await self._phase("after the outage", calm_seconds)
        return Isolation(
            down=self._down,
            observed=self._observed,
            before=before,
            during=during,
            after=after,
            outage=Outage(
                seconds=outage_seconds,
                refused_requests=hits,
                memory_before=memory_before,
                memory_peak=self._memory_peak,
                ended=ended,
                resumed_seconds=self._watch.next_delivery(self._down, lifted),
            ),
        )

    async def _phase(self, name: str, seconds: float) -> Phase:
        self._progress.say(f"{self._observed} for {seconds:.0f} s: {name}")
        began = time.monotonic()
        ages = []
        while time.monotonic() < began + seconds:
            ages.append(oldest_age(self._world.first[self._observed], time.time()))
            down = self._world.first[self._down].shard_processes()
            self._memory_peak = max(self._memory_peak, largest(down))
            await asyncio.sleep(_SAMPLE_SECONDS)
        samples = self._watch.samples(self._observed, since=began, until=time.monotonic())
        return Phase(
            seconds=seconds,
            records_per_second=slope(samples),
            mean_age_seconds=statistics.fmean(ages),
            max_age_seconds=max(ages),
        )


def _refusal(backend: Backend, seconds: float) -> Planned:
    kind = next(kind for kind in KINDS if kind.name == "refused")
    return Planned(number=0, at_seconds=0, kind=kind, target=backend, seconds=seconds, pick=0.0)


def largest(processes: Sequence[Proc]) -> int:
    """Bytes resident in the largest of some processes, 0 without any."""
    return max((process.resident_bytes() for process in processes), default=0)


def slope(samples: Sequence[Sample]) -> float:
    """Records a second, by least squares: chunks arrive in lumps."""
    if len(samples) < 2:
        return 0.0
    times, counts = zip(*samples, strict=True)
    return statistics.linear_regression(times, counts).slope


def oldest_age(worker: Worker, now: float) -> float:
    """Seconds since the arrival of the oldest record that a worker has not delivered, by its own word."""
    file = worker.status_file()
    if file is None:
        return 0.0
    status = msgspec.json.decode(file.read_bytes(), type=_Status)
    oldest = [one.oldest_undelivered_ms for one in status.shards if one.oldest_undelivered_ms is not None]
    return max(0.0, now - min(oldest) / 1000) if oldest else 0.0
