"""Builds the daemon of one backend from its settings and runs it: the place where the parts meet."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from consumer import __version__
from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.backend import (
    count_open_shards,
    lease_reader_of,
    prepare_backend,
    release_lock,
)
from consumer.daemon.prepare.pause_flag import PauseFlag
from consumer.daemon.prepare.preparation import Patience, Stopped
from consumer.daemon.report.channel import Channel
from consumer.daemon.report.health import HealthPolicy
from consumer.daemon.report.leases import Leases
from consumer.daemon.report.log import Log
from consumer.daemon.report.observed import Observed
from consumer.daemon.report.status import Identity
from consumer.daemon.supervise import logback, processes
from consumer.daemon.supervise.background import in_thread
from consumer.daemon.supervise.fork_server import ForkServerProcess
from consumer.daemon.supervise.forked import Forked
from consumer.daemon.supervise.java import (
    FORK_SERVER,
    JavaCommand,
    aot_cache_of,
    java_command,
    java_options_file,
    kcl_properties,
    worker_id,
)
from consumer.daemon.supervise.jvm_command import Commands
from consumer.daemon.supervise.leader_lock import LeaderLock
from consumer.daemon.supervise.lease_watch import ReadLeases, watching_leases
from consumer.daemon.supervise.pause_watch import Flag, PauseFile, PauseWatch, watching_pause
from consumer.daemon.supervise.restarts import RestartPolicy
from consumer.daemon.supervise.state import StateDirectory, directory_of, locked
from consumer.daemon.supervise.supervisor import EXIT_OK, Limits, Sources, Supervisor
from consumer.daemon.supervise.telling import Telling
from consumer.settings import Settings

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the supervisor asks AWS and Google. Each blocks, and but for `prepare` raises Trouble."""

    prepare: Callable[[Settings, Patience, Log], int | None] = prepare_backend
    """Makes the backend usable, and returns the number of the stream's open shards if it is known. Raises StartFailed,
    or Stopped when its patience says so."""
    count_shards: Callable[[Settings], int | None] = count_open_shards
    """The number of the stream's open shards, None where it may not be asked for."""
    lease_reader: Callable[[Settings], ReadLeases] = lease_reader_of
    pause_flag: Callable[[Settings], Flag] = PauseFlag
    release_lock: Callable[[Settings, str], bool] = release_lock
    """Of the KCL's leader, where it is this worker's, which the id names; whether it was."""


def serve(
    settings: Settings, *, environment: Mapping[str, str], log: Log, services: Services | None = None
) -> int:
    """Runs the daemon in this process until it is told to stop; returns its exit code.

    `environment` is what the JVM and the shard processes get. Raises StartFailed when it cannot start.
    """
    _refuse_few_descriptors()
    with locked(directory_of(settings, worker_id=worker_id(settings)), warn=log.warning) as state:
        command = render_files(settings, state, environment)
        with asyncio.Runner() as runner:
            return runner.run(_serve(settings, state, command, services or Services(), log))


def _refuse_few_descriptors() -> None:
    allowed = processes.descriptors_allowed()
    if allowed < processes.LEAST_DESCRIPTORS:
        raise StartFailed(
            f"open files: {allowed} are allowed, and {processes.LEAST_DESCRIPTORS} are needed: raise ulimit -n,"
            " LimitNOFILE= of the systemd unit, or --ulimit nofile= of the container"
        )


def render_files(settings: Settings, state: StateDirectory, environment: Mapping[str, str]) -> JavaCommand:
    """Writes what the JVM and the shard processes read, and returns the JVM's command."""
    state.write(state.settings_file, settings.dump())
    state.write(state.java_options, java_options_file(settings).encode())
    state.write(state.kcl_properties, kcl_properties(settings).encode("ascii"))
    logging = logback.render(log_file=state.kcl_log, level=settings.text("jvm.log_level"))
    state.write(state.logback_file, logging.encode())
    return java_command(settings, state, environment)


async def _serve(
    settings: Settings,
    state: StateDirectory,
    command: JavaCommand,
    services: Services,
    log: Log,
) -> int:
    processes.adopt_orphans()
    forked = Forked()
    observed = _observed(settings, log)
    telling = Telling(settings, state, observed, forked, log)
    lock = LeaderLock(lambda: services.release_lock(settings, worker_id(settings)), log=log)
    supervisor = _supervisor(settings, forked, observed, lock, log, telling)
    pauses = PauseWatch(
        services.pause_flag(settings),
        PauseFile(state),
        observed,
        worker_id=worker_id(settings),
        now_ms=lambda: int(time.time() * 1000),
        log=log,
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(_signals_stop(supervisor))
        stack.push_async_callback(lock.close)
        await stack.enter_async_context(telling.over_http())
        await stack.enter_async_context(_events(state, supervisor, log))
        log.info(
            f"application {settings.text('applicationName')} as {worker_id(settings)}, state in {state.path}",
            event="daemon_started",
            worker=worker_id(settings),
            version=__version__,
        )
        await stack.enter_async_context(telling.sending_metrics())
        if settings.flag(FORK_SERVER):
            await stack.enter_async_context(_fork_server(settings, state, command, forked, log))
        await stack.enter_async_context(supervisor.watching())
        try:
            open_shards = await _prepared(settings, services.prepare, observed, supervisor.stopping, log)
        except Stopped:
            log.info("ended in order, before anything was read", event="daemon_ended")
            return EXIT_OK
        commands = Commands(
            command,
            settings,
            open_shards=open_shards,
            count=lambda: services.count_shards(settings),
            cache=aot_cache_of(settings),
            lock=lock,
            log=log,
        )
        looks = watching_leases(
            services.lease_reader(settings),
            supervisor,
            now=time.time,
            seconds=_unread_seconds(settings) / 4,
        )
        await stack.enter_async_context(looks)
        await stack.enter_async_context(watching_pause(pauses))
        return await supervisor.run(commands)


def _observed(settings: Settings, log: Log) -> Observed:
    open_chunk_seconds = settings.seconds("chunk.window") + settings.seconds("chunk.grace")
    return Observed(
        health=HealthPolicy(
            undelivered_seconds=open_chunk_seconds + settings.seconds("hold.unhealthy_after"),
            unread_seconds=_unread_seconds(settings),
        ),
        leases=Leases(table=settings.lease_tables[0], worker_id=worker_id(settings), began_at=time.time()),
        identity=Identity(
            backend=settings.backend,
            application=settings.text("applicationName"),
            worker_id=worker_id(settings),
            pid=os.getpid(),
        ),
        log=log,
        now=time.time,
    )


def _supervisor(
    settings: Settings, forked: Forked, observed: Observed, lock: LeaderLock, log: Log, telling: Telling
) -> Supervisor:
    grace = settings.integer("shutdownGraceMillis") / 1000 + settings.seconds("supervisor.grace_margin")
    return Supervisor(
        forked=forked,
        restarts=_restarts(settings),
        limits=Limits(grace_seconds=grace, hang_seconds=settings.seconds("supervisor.hang_timeout")),
        observed=observed,
        sources=Sources(monotonic=time.monotonic, random=random.random),
        log=log,
        publish=telling.publish,
        heard=lock.heard,
    )


def _unread_seconds(settings: Settings) -> float:
    """How long a shard may go without a call or a reader: some times what the KCL's own settings make usual."""
    failover_millis = settings.integer("failoverTimeMillis")
    idle_millis = settings.integer("idleTimeBetweenReadsInMillis")
    return max(settings.seconds("health.unread_after"), 4 * failover_millis / 1000, 3 * idle_millis / 1000)


def _restarts(settings: Settings) -> RestartPolicy:
    return RestartPolicy(
        base_seconds=settings.seconds("supervisor.restart_base"),
        max_seconds=settings.seconds("supervisor.restart_max"),
        reset_seconds=settings.seconds("supervisor.restart_reset"),
        limit=settings.integer("supervisor.restart_limit"),
    )


@asynccontextmanager
async def _fork_server(
    settings: Settings, state: StateDirectory, command: JavaCommand, forked: Forked, log: Log
) -> AsyncIterator[None]:
    """Runs while the block does. It has the environment of the JVM, whose children it stands in for."""
    with state.listen_for_launchers() as listener:
        server = ForkServerProcess(
            listener=listener,
            environment=command.environment,
            forked=forked,
            restarts=_restarts(settings),
            monotonic=time.monotonic,
            random=random.random,
            log=log,
        )
        keeping = asyncio.create_task(server.keep())
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping


@contextmanager
def _signals_stop(supervisor: Supervisor) -> Iterator[None]:
    """Signals that ask for an end reach the supervisor; one that was ignored from the start (nohup) stays so."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, supervisor.stop, number.name)
                stack.callback(loop.remove_signal_handler, number)
        yield


@asynccontextmanager
async def _events(state: StateDirectory, supervisor: Supervisor, log: Log) -> AsyncIterator[None]:
    listener: socket.socket = state.listen()
    channel = Channel(
        listener,
        receive=supervisor.receive,
        refuse=lambda reason: log.warning(f"a datagram that is no event: {reason}"),
    )
    channel.open()
    try:
        yield
    finally:
        channel.close()


async def _prepared(
    settings: Settings,
    prepare: Callable[[Settings, Patience, Log], int | None],
    observed: Observed,
    told_to_stop: asyncio.Event,
    log: Log,
) -> int | None:
    """Prepares the backend; returns the number of open shards. Raises Stopped when told to stop meanwhile."""
    stop = threading.Event()
    patience = Patience(
        timeout_seconds=settings.seconds("supervisor.prepare_timeout"),
        monotonic=time.monotonic,
        pause=stop.wait,
        tell=observed.hold_for,
    )
    done = in_thread(lambda: prepare(settings, patience, log))
    stopping = asyncio.create_task(told_to_stop.wait())
    await asyncio.wait((done, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not done.done():
        stop.set()
        done.cancel()
        raise Stopped
    return done.result()
