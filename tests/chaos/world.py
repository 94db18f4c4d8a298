"""What a run works on: the stack, the workers, the settings they run with."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consumer.local import stack as stacks
from consumer.local.backends import BACKENDS, settings_for
from consumer.local.child import ROOT
from consumer.local.faults.control import FaultControl
from consumer.local.stack import Stack
from consumer.settings import Settings, jvm, load
from consumer.settings.table import Backend
from tests.chaos.leases import LeaseTable
from tests.chaos.requests import Endpoint, Places
from tests.chaos.workers import Say, Worker

#: The embedded BigQuery forgets no insertId within a run: Google promises a minute at best.
DEDUPLICATION_SECONDS = 7 * 86_400.0

_READ_TIMEOUT_SECONDS = 8.0
_SETTINGS = {
    "chunk.window": "4s",
    "chunk.grace": "2s",
    "checkpoint.interval": "2s",
    "retry.max": "2s",
    "s3.read_timeout": f"{_READ_TIMEOUT_SECONDS:.0f}s",
    "bigquery.read_timeout": f"{_READ_TIMEOUT_SECONDS:.0f}s",
    "supervisor.restart_max": "2s",
    "http.port": "0",
    "health.unread_after": "16s",
    # a worker that has left is given leases until its load report is two such times old
    "workerMetricsReporterFreqInMillis": "1000",
    # two cores for several JVMs: the second compiler costs more than it gives in so short a life
    "jvm.options": f"{jvm.OPTIONS} -Xmx512m -XX:TieredStopAtLevel=1 -Daws.cborEnabled=false",
}
_WRITES = {"insert_all": "insertAll", "storage_write": "AppendRows"}


def settings_of(given: Mapping[str, str]) -> dict[Backend, dict[str, str]]:
    """The settings of each backend's workers, with those given on the command line."""
    return {backend: settings_for(backend, {**_SETTINGS, **given}) for backend in BACKENDS}


def effective(stack: Stack, chosen: Mapping[Backend, Mapping[str, str]]) -> dict[Backend, Settings]:
    """What the workers make of them. Raises SettingsError."""
    return {
        backend: load(
            backend,
            file=ROOT / "properties" / f"{backend}.properties",
            overrides={**stacks.overrides(stack, backend), **chosen[backend]},
        )
        for backend in BACKENDS
    }


def places_of(stack: Stack, settings: Mapping[Backend, Settings]) -> Places:
    applications = {str(backend): one.text("applicationName") for backend, one in settings.items()}
    aside = {
        f"dead letters {backend}": f"{one['deadletter.prefix']}{applications[backend]}/"
        for backend, one in settings.items()
    }
    return Places(
        bucket=stack.bucket,
        prefixes={"s3": settings["s3"].text("s3.prefix"), **aside},
        applications=applications,
        table_prefix=settings["bigquery"].text("bigquery.table_prefix"),
        bigquery_writes=_WRITES[settings["bigquery"].text("bigquery.method")],
        read_timeout_seconds=_READ_TIMEOUT_SECONDS,
    )


@dataclass(slots=True, kw_only=True)
class World:
    """`first` holds a worker of each backend, `second` those that come and go."""

    stack: Stack
    directory: Path
    chosen: Mapping[Backend, Mapping[str, str]]
    places: Places
    say: Say
    controls: dict[Endpoint, FaultControl] = field(default_factory=dict)
    first: dict[Backend, Worker] = field(default_factory=dict)
    second: dict[Backend, Worker] = field(default_factory=dict)
    killed_at: dict[Backend, list[float]] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Processes that should have been started again."""

    def __post_init__(self) -> None:
        self.controls = {
            "aws": FaultControl(self.stack.aws_endpoint),
            "bigquery": FaultControl(self.stack.bigquery_endpoint),
        }
        for backend in BACKENDS:
            self.first[backend] = self.worker(backend, "a")
            self.second[backend] = self.worker(backend, "b")
            self.killed_at[backend] = []

    def worker(self, backend: Backend, name: str) -> Worker:
        return Worker(backend=backend, name=name, stack_dir=self.directory, settings=self.chosen[backend])

    def workers(self) -> list[Worker]:
        return [*self.first.values(), *self.second.values()]

    def leases(self, backend: Backend) -> LeaseTable:
        return LeaseTable(self.stack.client("dynamodb"), self.places.applications[backend])

    def killed(self, backend: Backend) -> None:
        """Remember when a backend's delivery was cut off, to see how long it takes to go on."""
        self.killed_at[backend].append(time.monotonic())

    def lift(self) -> None:
        """End every rule. Raises ControlError."""
        for control in self.controls.values():
            control.clear()

    def abandon(self) -> None:
        """End every process of every worker. Safe to repeat."""
        for worker in self.workers():
            worker.abandon()
