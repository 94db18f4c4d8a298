"""`status [BACKEND]`: how the application fares on all hosts, by its lease table and what the daemons here say."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from consumer.daemon.commands.application import Application, assemble
from consumer.daemon.commands.arguments import (
    FindEmbedded,
    add_settings_options,
    find_embedded_stack,
    load_settings,
)
from consumer.daemon.commands.status_screen import live, print_plain
from consumer.daemon.errors import StartFailed
from consumer.daemon.page import told as tellings
from consumer.daemon.page.told import Told
from consumer.daemon.prepare.distances import Distance, distance_reader
from consumer.daemon.prepare.lease_table import lease_reader
from consumer.daemon.prepare.preparation import Trouble
from consumer.daemon.prepare.proxies import exempt_metadata
from consumer.daemon.report.leases import Lease
from consumer.settings import BACKENDS, Settings, SettingsError

EXIT_FAILED = 1
EXIT_USAGE = 2

_MOST_BYTES = 4 * 1024 * 1024
_LOOK_SECONDS = 2.0
_DISTANCE_SECONDS = 10.0
"""Each look at a distance is one of the five reads a second that Kinesis allows a shard."""
_POLL_SECONDS = 0.25
_LEAST_RATE_SECONDS = 0.9


class Looker:
    """Looks at one application, again and again: rates and renewals show from one look to the next. `now` is in seconds
    since the epoch."""

    def __init__(
        self,
        settings: Settings,
        *,
        read_leases: Callable[[], Sequence[Lease]],
        read_distances: Callable[[Sequence[Lease]], dict[str, Distance]],
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._read_leases = read_leases
        self._read_distances = read_distances
        self._now = now
        self._pause = pause
        self._failover_seconds = settings.integer("failoverTimeMillis") / 1000
        self._counters: dict[str, tuple[str | None, int]] = {}
        self._moved_at: dict[str, float] = {}
        self._distances: dict[str, Distance] = {}
        self._distances_at = 0.0
        self._before: dict[str, tuple[float, int, int]] = {}
        self._rates: dict[str, float] = {}

    def look(self) -> Application:
        """Blocks: for as long as it takes to see whether the owners of leases renew them, failoverTimeMillis at most
        the first time."""
        self._measure(self._told())
        trouble: str | None = None
        leases: Sequence[Lease] = ()
        try:
            leases = self._renewals()
            if self._now() - self._distances_at >= _DISTANCE_SECONDS:
                self._distances, self._distances_at = self._read_distances(leases), self._now()
        except Trouble as error:
            trouble = str(error)
        told = self._told()
        self._measure(told)
        at = self._now()
        return assemble(
            backend=self._settings.backend,
            name=self._settings.text("applicationName"),
            at=at,
            told=told,
            rates=self._rates,
            leases=leases,
            renewed={
                shard: at - moved < 1.5 * self._failover_seconds for shard, moved in self._moved_at.items()
            },
            distances=self._distances,
            trouble=trouble,
            late_seconds=self._late_seconds(),
        )

    def _late_seconds(self) -> float:
        """What a record may take from its arrival until it is checkpointed."""
        seconds = ("chunk.window", "chunk.grace", "checkpoint.interval", "hold.unhealthy_after")
        return sum(map(self._settings.seconds, seconds))

    def _renewals(self) -> Sequence[Lease]:
        """The leases, once it is seen of each that has an owner whether he renews it."""
        first = not self._counters
        leases = self._saw(self._read_leases())
        here = {shard.shard for told in self._told() for shard in told.shards if self._is_fresh(told)}
        until = self._now() + 1.2 * self._failover_seconds
        while first and self._now() < until:
            waiting = [
                lease
                for lease in leases
                if lease.owner is not None
                and not lease.ended
                and lease.shard not in self._moved_at
                and lease.shard not in here
            ]
            if not waiting:
                break
            self._pause(_POLL_SECONDS)
            leases = self._saw(self._read_leases())
        return leases

    def _saw(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        now = self._now()
        for lease in leases:
            known = self._counters.get(lease.shard)
            current = (lease.owner, lease.counter)
            if known is not None and known != current and lease.owner is not None:
                self._moved_at[lease.shard] = now
            self._counters[lease.shard] = current
        return leases

    def _told(self) -> list[Told]:
        """What lies on this host of daemons of the application, one for each worker."""
        found = []
        for path in sorted(self._settings.path("worker.state_dir").glob("*/status.json")):
            told = _read(path)
            if told is not None and told.application == self._settings.text("applicationName"):
                found.append(told)
        return found

    def _is_fresh(self, told: Told) -> bool:
        return self._now() - told.updated_at < self._failover_seconds

    def _measure(self, told: Sequence[Told]) -> None:
        for one in told:
            for shard in one.shards:
                delivered = shard.counters.get("records_delivered", 0)
                at, pid, count = self._before.get(shard.shard, (0.0, 0, 0))
                if pid != shard.pid:
                    self._before[shard.shard] = (one.updated_at, shard.pid, delivered)
                elif one.updated_at - at >= _LEAST_RATE_SECONDS:
                    self._rates[shard.shard] = (delivered - count) / (one.updated_at - at)
                    self._before[shard.shard] = (one.updated_at, shard.pid, delivered)


def status_main(arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None) -> int:
    """Runs `status`; returns 0 when all is well, 1 when it is not, 2 for wrong options or settings that cannot be
    used."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.backend is None and options.properties is not None:
        parser.error(f"--properties: name a backend: {' or '.join(BACKENDS)}")
    try:
        lookers = _lookers(options, find_embedded)
    except SettingsError as error:
        print("\n".join(map(str, error.findings)), file=sys.stderr)
        return EXIT_USAGE
    except (StartFailed, Trouble) as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    try:
        return _show(options, lookers)
    except KeyboardInterrupt:
        return 130


def _lookers(options: argparse.Namespace, find_embedded: FindEmbedded | None) -> list[Looker]:
    """One for each backend that is meant. Raises SettingsError, StartFailed or Trouble; without a backend named, those
    whose settings cannot be used are left out as long as one's can."""
    lookers: list[Looker] = []
    refused: list[SettingsError] = []
    for backend in BACKENDS if options.backend is None else (options.backend,):
        chosen = argparse.Namespace(**{**vars(options), "backend": backend})
        embedded = find_embedded_stack(chosen, find_embedded)
        try:
            settings = load_settings(chosen, embedded)
        except SettingsError as error:
            refused.append(error)
            continue
        os.environ.update(embedded.environment)
        os.environ.update(exempt_metadata(os.environ))
        lookers.append(
            Looker(settings, read_leases=lease_reader(settings), read_distances=distance_reader(settings))
        )
    if not lookers:
        raise refused[0]
    for refusal in refused:
        print("\n".join(map(str, refusal.findings)), file=sys.stderr)
    return lookers


def _show(options: argparse.Namespace, lookers: Sequence[Looker]) -> int:
    if options.watch and sys.stdout.isatty() and not options.json:
        return _watch(lookers)
    while True:
        applications = [looker.look() for looker in lookers]
        if options.json:
            print(json.dumps([application.summary() for application in applications]), flush=True)
        else:
            print_plain(applications)
        if not options.watch:
            return _exit_code(applications)
        time.sleep(_LOOK_SECONDS)


def _watch(lookers: Sequence[Looker]) -> int:
    applications: list[Application] = []
    with live() as draw, _keys() as pressed_within:
        while True:
            applications = [looker.look() for looker in lookers]
            draw(applications)
            if pressed_within(_LOOK_SECONDS) == "q":
                break
    print_plain(applications)
    return _exit_code(applications)


def _exit_code(applications: Sequence[Application]) -> int:
    return 0 if all(application.healthy for application in applications) else EXIT_FAILED


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Within the block a key counts at once, without Enter: what is pressed within so many seconds, or nothing."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed_within(seconds: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return os.read(descriptor, 1).decode("latin-1") if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed_within
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _read(path: Path) -> Told | None:
    try:
        with path.open("rb") as file:
            return tellings.read(file.read(_MOST_BYTES))
    except (OSError, msgspec.MsgspecError):
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="status",
        description="Shows how an application fares, on all hosts: its shards with their owners, checkpoints and"
        " distance to the tip by the lease table, whether a daemon runs or not, and what the daemons of this host say."
        " Without a backend, both. Ends with 0 when all is well, with 1 when it is not.",
    )
    add_settings_options(parser, backend_nargs="?")
    parser.add_argument(
        "--watch", action="store_true", help="look again every two seconds, until q or Ctrl-C"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON array with an object for each backend"
    )
    return parser
