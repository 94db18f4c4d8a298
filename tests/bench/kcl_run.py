"""One run of level `kcl`: the stub of Kinesis, the real KCL, its shard processes, and what arrives."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import msgspec

from consumer.local.child import Process
from consumer.local.stack import Stack
from consumer.settings import Settings
from tests.bench import jvm, leases
from tests.bench.arrivals import Acknowledged, Arrivals, Delivered
from tests.bench.backend import Backend, discarding
from tests.bench.cases import TARGETS, USUAL_SIZE, settings_of, usual_case
from tests.bench.counts import Behaviour
from tests.bench.host_memory import heap_mib
from tests.bench.inputs import number_sum
from tests.bench.jvm import Jvm
from tests.bench.jvm_profile import Profile
from tests.bench.kcl import BenchError
from tests.bench.kinesis.answers import Script, shard_id
from tests.bench.kinesis.stub import Stub, serving
from tests.bench.kinesis.wire import BY_NAME
from tests.bench.production import production_settings
from tests.bench.shard_events import ShardEvents, listening
from tests.bench.shard_level import MIB
from tests.bench.usage import TreeTime

ACKNOWLEDGES = "only acknowledges"

_START_SECONDS = 60
_POLL_SECONDS = 0.05
_STILL_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KclCase:
    """`child` is one of TARGETS or ACKNOWLEDGES. So many records of all shards together are measured, after a warm-up.
    `max_records` is the most that Kinesis answers with, which it does; `wire` is "cbor", as in production, or
    "json". `settings` overrule all others."""

    shards: int
    child: str
    records: int
    warm_up: int
    max_records: int
    wire: str = "cbor"
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def script(self) -> Script:
        return Script(
            shards=self.shards,
            warm_up=self.warm_up // self.shards,
            measured=self.records // self.shards,
            batch_records=self.max_records,
            record_bytes=USUAL_SIZE,
            wire=self.wire,
        )


@dataclass(frozen=True, slots=True)
class KclRun:
    """From the end of the warm-up until everything was delivered; `start` is what was spent before. The root is the
    JVM, its descendants are the shard processes."""

    records: int
    seconds: float
    cost: TreeTime
    start: TreeTime
    jvm_peak_rss_bytes: int
    first_seconds: float = 0.0
    """From the start of the JVM to the first record that arrived."""
    start_threads: Mapping[str, float] = field(default_factory=dict)
    """CPU seconds of the JVM's threads within `start`, by the beginning of their names."""
    threads: Mapping[str, float] = field(default_factory=dict)
    """The same within `cost`."""

    @property
    def jvm_per_million(self) -> float:
        """CPU seconds."""
        return self.cost.root / self.records * 1e6

    @property
    def shards_per_million(self) -> float:
        """CPU seconds."""
        return self.cost.descendants / self.records * 1e6

    @property
    def per_million(self) -> float:
        """CPU seconds of both."""
        return self.jvm_per_million + self.shards_per_million


@dataclass(frozen=True, slots=True)
class World:
    """What the runs of a level share: AWS for the leases, and a backend that keeps nothing."""

    aws: Stack
    backend: Backend
    folder: Path


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """Raises ChildError."""
    process = Process.spawn("consumer.local.aws", log=folder / "aws.log", environment=dict(os.environ))
    try:
        endpoint = f"http://127.0.0.1:{process.wait_ready(_START_SECONDS)['port']}"
        aws = Stack(aws_endpoint=endpoint, bigquery_endpoint="", bigquery_grpc="")
        with discarding(folder) as backend:
            yield World(aws, backend, folder)
    finally:
        process.stop()


def run(case: KclCase, shared: World, *, name: str, profile: Profile | None = None) -> KclRun:
    """One life of a JVM, as the KCL application `name`, which must be new to the world. Raises BenchError."""
    with (
        preparing(case, shared, name=name) as ready,
        jvm.running(ready.settings, ready.program, ready.folder, ready.environment) as kcl,
    ):
        return ready.watch(kcl, span=profile).measure(case.script)


class Span(Protocol):
    """Is told when what is measured begins and when it has ended."""

    def begin(self, pid: int) -> None:
        """`pid` is the JVM's. Raises BenchError."""

    def end(self, pid: int) -> None:
        """Raises BenchError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """All that stands around a JVM that is about to start. `program` is what follows `python -m` for a shard."""

    settings: Settings
    program: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    stub: Stub
    events: ShardEvents
    arrivals: Arrivals

    def watch(self, kcl: Jvm, *, span: Span | None = None, still_seconds: float = _STILL_SECONDS) -> "Watch":
        return Watch(kcl, self.stub, self.events, self.arrivals, still_seconds=still_seconds, span=span)


@contextlib.contextmanager
def preparing(case: KclCase, shared: World, *, name: str) -> Iterator[Ready]:
    """Leases, stub and settings of the KCL application `name`, which must be new to the world. Raises ChildError."""
    folder = shared.folder / name
    folder.mkdir()
    shared.backend.behave(Behaviour(looks_later=True))
    leases.create(shared.aws.client("dynamodb"), name, [shard_id(place) for place in range(case.shards)])
    program, arrivals = _child(case, shared, folder)
    with serving(case.script, folder) as stub, listening(folder / "events") as events:
        settings = _settings(case, shared, application=name, kinesis_url=stub.url)
        if case.child == "storage_write":
            leases.create_positions(shared.aws.client("dynamodb"), settings.text("bigquery.positions_table"))
        yield Ready(
            settings=settings,
            program=program,
            folder=folder,
            environment=_environment(settings, folder),
            stub=stub,
            events=events,
            arrivals=arrivals,
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """All that a run has to look at while it waits; nothing may stay as it is for longer than `still_seconds`."""

    kcl: Jvm
    stub: Stub
    events: ShardEvents
    arrivals: Arrivals
    still_seconds: float = _STILL_SECONDS
    """The start of the KCL takes some of it."""
    span: Span | None = None

    def measure(self, script: Script) -> KclRun:
        """Raises BenchError when a record is lost or comes twice."""
        warm_up, measured = script.shards * script.warm_up, script.shards * script.measured
        started = time.perf_counter()
        self._wait(1, script)
        first_seconds = time.perf_counter() - started
        self._wait(warm_up, script)
        self.arrivals.check(warm_up, script.number_sum(warm_up=True))
        if self.span is not None:
            self.span.begin(self.kcl.popen.pid)
        start_threads = self.kcl.thread_seconds()
        start, began = self.kcl.times(), time.perf_counter()
        self.stub.open()
        self._wait(warm_up + measured, script)
        cost, seconds = self.kcl.times().since(start), time.perf_counter() - began
        threads = {
            name: spent - start_threads.get(name, 0.0) for name, spent in self.kcl.thread_seconds().items()
        }
        if self.span is not None:
            self.span.end(self.kcl.popen.pid)
        self._check_end(script, warm_up + measured)
        return KclRun(
            measured, seconds, cost, start, self.kcl.peak_rss_bytes(), first_seconds, start_threads, threads
        )

    def _check_end(self, script: Script, records: int) -> None:
        """The record that seals a shard's last chunk is a chunk of its own, which arrives last."""
        self._wait(records + script.shards, script)
        numbers = script.number_sum(warm_up=True) + script.number_sum(warm_up=False)
        self.arrivals.check(records + script.shards, numbers + script.shards * number_sum(1))

    def _wait(self, records: int, script: Script) -> None:
        """Until so many have arrived. Raises BenchError when a process fails, or nothing arrives any more."""
        before, since = -1, time.monotonic()
        while (arrived := self.arrivals.records()) < records:
            self.kcl.check()
            self.events.check()
            if arrived != before:
                before, since = arrived, time.monotonic()
            elif time.monotonic() - since > self.still_seconds:
                raise BenchError(f"{arrived} of {records} records arrived, and no more: {self._troubles()}")
            time.sleep(_POLL_SECONDS)
        self._check_requests(script)

    def _check_requests(self, script: Script) -> None:
        state = self.stub.state()
        if state.refused:
            raise BenchError(f"the stub of Kinesis refused a request: {state.refused[0]}")
        if state.wires - {BY_NAME[script.wire].content_type}:
            raise BenchError(
                f"the KCL did not ask for {script.wire}, but for {', '.join(sorted(state.wires))}"
            )

    def _troubles(self) -> str:
        asked = msgspec.json.encode(self.stub.state()).decode()
        return f"{self.events.troubles}, the stub of Kinesis: {asked}\n{self.kcl.last_words()}"


def _child(case: KclCase, shared: World, folder: Path) -> tuple[list[str], Arrivals]:
    """The program that the KCL starts for a shard, and how its work is counted."""
    if case.child == ACKNOWLEDGES:
        counts = folder / "counts"
        return ["tests.bench.programs.acknowledge", str(counts)], Acknowledged(counts)
    return ["consumer.shard"], Delivered(shared.backend)


def _settings(case: KclCase, shared: World, *, application: str, kinesis_url: str) -> Settings:
    """Production's, but for endpoints, for pauses between reads as short as the KCL allows, and for a worker that
    gives account of itself at once, since the KCL gives it no shard before."""
    own = {
        "applicationName": application,
        "kinesisEndpoint": kinesis_url,
        "dynamoDBEndpoint": shared.aws.aws_endpoint,
        "idleTimeBetweenReadsInMillis": "200",
        "maxRecords": str(case.max_records),
        "workerMetricsReporterFreqInMillis": "2000",
        "chunk.grace": "0s",
    }
    answer_mib = case.max_records * USUAL_SIZE / MIB
    own["jvm.heap"] = f"{heap_mib(case.shards, answer_mib=answer_mib)}MiB"
    own.update(case.settings)
    if case.wire != "cbor":
        usual = production_settings("s3").text("jvm.options")
        own["jvm.options"] = f"{own.get('jvm.options', usual)} -Daws.cborEnabled=false"
    child = usual_case(next((target for target in TARGETS if target == case.child), "s3"), USUAL_SIZE)
    return settings_of(replace(child, settings={**child.settings, **own}), shared.backend, shared.folder)


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    settings_file = folder / "settings.json"
    settings_file.write_bytes(settings.dump())
    return {"CONSUMER_SETTINGS": str(settings_file), "CONSUMER_EVENTS": str(folder / "events")}
