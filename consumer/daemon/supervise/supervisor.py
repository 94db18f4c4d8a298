"""Keeps the JVM running until it is told to stop, and then ends everything in order.

A first SIGTERM or SIGINT asks: shard processes get SIGTERM, which they take as "drain", and the JVM gets
SIGTERM, which the KCL takes as a graceful shutdown. A second one, or the end of the grace, kills.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from consumer.daemon.report.health import Phase
from consumer.daemon.report.leases import Lease
from consumer.daemon.report.log import Log
from consumer.daemon.report.observed import Observed
from consumer.daemon.report.status import Status
from consumer.daemon.supervise import processes
from consumer.daemon.supervise.forked import Forked
from consumer.daemon.supervise.java import JavaCommand
from consumer.daemon.supervise.jvm import Jvm
from consumer.daemon.supervise.jvm_command import Commands
from consumer.daemon.supervise.logback import event_of, read_line, says_that_the_jvm_ends
from consumer.daemon.supervise.restarts import RestartPolicy
from consumer.daemon.supervise.session import describe_exit
from consumer.domain.events import Event, LogEvent, StatusEvent

_ORDERLY_CODES = frozenset({0, 143, -signal.SIGTERM})
"""A JVM ended by SIGTERM reports 143 after its shutdown hooks, or the signal itself before it has any."""

EXIT_OK = 0
EXIT_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times of the supervisor, in seconds. `hang_seconds` of 0 never takes a JVM for hung.

    After the failure of one shard process the KCL lets all others finish and then waits out shutdownGraceMillis for
    the one that cannot; `crash_seconds` is what the others get, as long as there are any, before the JVM is killed to
    start again.
    """

    grace_seconds: float
    hang_seconds: float
    crash_seconds: float = 2.0
    tick_seconds: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where time and chance come from: seconds that only grow, a number in [0, 1)."""

    monotonic: Callable[[], float]
    random: Callable[[], float]


class Supervisor:
    """Runs one JVM after another. `publish` gets the status about once a second, `heard` each line of the JVM's."""

    def __init__(
        self,
        *,
        forked: Forked,
        restarts: RestartPolicy,
        limits: Limits,
        observed: Observed,
        sources: Sources,
        log: Log,
        publish: Callable[[Status], None],
        heard: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._forked = forked
        self._restarts = restarts
        self._limits = limits
        self._observed = observed
        self._sources = sources
        self._log = log
        self._publish = publish
        self._heard = heard
        self._drained: set[int] = set()
        self._jvm: Jvm | None = None
        self._last_code = EXIT_OK
        self._crash: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._killing = asyncio.Event()

    def stop(self, reason: str) -> None:
        """Begins the orderly end; a second call makes it a quick one."""
        if self._stopping.is_set():
            self._log.warning(f"{reason} again: ending at once", event="daemon_stopping")
            self._killing.set()
            return
        self._log.info(
            f"{reason}: ending in order within {self._limits.grace_seconds:.0f} s", event="daemon_stopping"
        )
        self._observed.phase = Phase.STOPPING
        self._stopping.set()

    @property
    def stopping(self) -> asyncio.Event:
        return self._stopping

    def receive(self, event: Event) -> None:
        """Takes an event of a shard process."""
        if isinstance(event, LogEvent):
            self._log.line(
                event.level, event.message, shard=event.shard, event=event.name, fields=event.fields
            )
            return
        self._observed.receive(event)
        if self._stopping.is_set():
            self._drain(event)

    def saw_leases(self, leases: Sequence[Lease]) -> None:
        """Takes all rows of the lease table."""
        self._observed.saw_leases(leases)
        for event in self._observed.paused_without_lease(leases):
            self._drain(event)

    def missed_leases(self, trouble: str, *, asked_at: float) -> None:
        self._observed.missed_leases(trouble, asked_at=asked_at)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Publishes the status and looks for a hung JVM as long as the block runs, and once at its end."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            self._tick()

    async def run(self, commands: Commands) -> int:
        """Runs until told to stop or until the JVM ends too often; returns the exit code of the daemon."""
        rapid_ends = 0
        command = await commands.first()
        while not self._stopping.is_set():
            began = self._sources.monotonic()
            code = await self._run_once(command)
            if self._stopping.is_set():
                return code
            ran = self._sources.monotonic() - began
            rapid_ends = self._restarts.after_end(ran_seconds=ran, rapid_ends=rapid_ends)
            if self._restarts.gives_up(rapid_ends):
                self._log.error(
                    f"the JVM ended {rapid_ends} times in a row soon after its start: giving up",
                    event="daemon_gave_up",
                )
                return EXIT_FAILED
            following = asyncio.create_task(commands.next(last_code=self._last_code))
            await self._pause(rapid_ends)
            await _first(following, self._stopping)
            if not following.done():
                following.cancel()
                break
            command = following.result()
        return EXIT_OK

    async def _run_once(self, command: JavaCommand) -> int:
        """One life of the JVM; returns the daemon's exit code in case this was the last."""
        try:
            jvm = Jvm.start(command, self._relay, self._forked)
        except OSError as error:
            self._log.error(
                f"jvm.java: cannot run {command.arguments[0]}: {error.strerror}", event="daemon_gave_up"
            )
            return EXIT_FAILED
        self._jvm = jvm
        self._observed.jvm_started(jvm.pid)
        if not self._stopping.is_set():
            self._observed.phase = Phase.RUNNING
        self._log.info(f"the JVM runs as process {jvm.pid}", event="jvm_started", pid=jvm.pid)
        try:
            return await self._until_end(jvm)
        finally:
            if self._crash is not None:
                self._crash.cancel()
            self._jvm = self._crash = None
            self._observed.jvm_ended()
            self._drained.clear()

    async def _until_end(self, jvm: Jvm) -> int:
        end = asyncio.create_task(jvm.wait())
        await _first(end, self._stopping)
        orderly = True
        if self._stopping.is_set() and not end.done():
            orderly = await self._end_in_order(jvm, end)
        elif not self._stopping.is_set():
            self._observed.phase = Phase.RESTARTING
        code = self._last_code = await end
        stayed = await self._clean_up(jvm)
        if not self._stopping.is_set():
            self._log.error(f"the JVM ended with {describe_exit(code)}{stayed}", event="jvm_ended", code=code)
            return EXIT_FAILED
        orderly = orderly and code in _ORDERLY_CODES
        if orderly:
            self._log.info(f"ended in order{stayed}", event="daemon_ended")
            return EXIT_OK
        self._log.error(
            f"ended, and not in order; the JVM by {describe_exit(code)}{stayed}", event="daemon_ended"
        )
        return EXIT_FAILED

    async def _end_in_order(self, jvm: Jvm, end: asyncio.Task[int]) -> bool:
        """Asks, waits, and kills what has not ended by then; whether killing was not needed."""
        for event in self._observed.events:
            self._drain(event)
        jvm.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(_first(end, self._killing), self._limits.grace_seconds)
        if end.done():
            return True
        if not self._killing.is_set():
            self._log.error(
                f"the JVM has not ended within {self._limits.grace_seconds:.0f} s: killing it",
                event="jvm_killed",
            )
        jvm.kill()
        return False

    async def _clean_up(self, jvm: Jvm) -> str:
        if self._killing.is_set():
            jvm.kill()
        stayed = await jvm.clean_up()
        return "" if not stayed else f"; {stayed} shard processes had to be killed"

    async def _pause(self, rapid_ends: int) -> None:
        delay = self._restarts.delay_seconds(rapid_ends, self._sources.random)
        self._observed.restarts += 1
        self._log.warning(
            f"starting the JVM again in {delay:.1f} s", event="jvm_restarting", seconds=round(delay, 1)
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)

    def _drain(self, event: StatusEvent) -> None:
        """A process that has sent no status may not handle the signal yet, so only those that have get it,
        once."""
        if self._jvm is None or event.pid in self._drained or not self._jvm.owns(event.pid):
            return
        self._drained.add(event.pid)
        processes.send(event.pid, signal.SIGTERM)

    def _relay(self, line: str) -> None:
        self._heard(line)
        level, message = read_line(line)
        told = self._observed.heard(level, message)
        if told is not None:
            self._log.line(level, told, event=event_of(level, message))
        if says_that_the_jvm_ends(line) and self._jvm is not None:
            self._crash = self._crash or asyncio.create_task(self._end_crashed(self._jvm))

    async def _end_crashed(self, jvm: Jvm) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(jvm.without_shard_processes(), self._limits.crash_seconds)
        if jvm is self._jvm and not self._stopping.is_set():
            self._log.info(
                "a shard process has failed and the JVM with it: killing what is left", event="jvm_killed"
            )
            jvm.kill()

    async def _watch(self) -> None:
        while True:
            self._tick()
            await asyncio.sleep(self._limits.tick_seconds)

    def _tick(self) -> None:
        self._observed.keep(self._owns)
        if self._jvm is not None:
            self._end_if_hung(self._jvm)
        status = self._observed.status()
        self._observed.tell_health(status)
        self._publish(status)

    def _owns(self, pid: int) -> bool:
        return self._jvm is not None and self._jvm.owns(pid)

    def _end_if_hung(self, jvm: Jvm) -> None:
        silent = self._observed.hung_for()
        limit = self._limits.hang_seconds
        if limit and silent is not None and silent > limit and not self._stopping.is_set():
            self._log.error(
                f"the JVM has called no shard process for {silent:.0f} s: killing it", event="jvm_killed"
            )
            jvm.kill()


async def _first(end: asyncio.Task[Any], event: asyncio.Event) -> None:
    """Returns when the task is done or the event set."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((end, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
