"""Builds the daemon of one backend from its settings and runs it: the place where the parts meet."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from consumer import __version__
from consumer.daemon.errors import StartFailed
from consumer.daemon.metrics.emf import EmfLines
from consumer.daemon.metrics.memory import ProcessMemory
from consumer.daemon.metrics.metric import Snapshot
from consumer.daemon.metrics.text import MetricsText
from consumer.daemon.page.site import Page
from consumer.daemon.prepare.backend import (
    count_open_shards,
    lease_reader_of,
    prepare_backend,
    release_lock,
)
from consumer.daemon.prepare.pause_flag import PauseFlag
from consumer.daemon.prepare.preparation import Patience, Stopped
from consumer.daemon.report import http
from consumer.daemon.report.channel import Channel
from consumer.daemon.report.health import HealthPolicy
from consumer.daemon.report.leases import Leases
from consumer.daemon.report.log import Log
from consumer.daemon.report.probes import probes
from consumer.daemon.report.status import Identity, Status, encode
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
from consumer.daemon.supervise.metrics_push import Pusher, Pushes, pushing
from consumer.daemon.supervise.pause_watch import Flag, PauseFile, PauseWatch, watching_pause
from consumer.daemon.supervise.restarts import RestartPolicy
from consumer.daemon.supervise.state import StateDirectory, directory_of, locked
from consumer.daemon.supervise.supervisor import EXIT_OK, Limits, Sources, Supervisor
from consumer.settings import Settings

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PUSH_SECONDS = 10.0
"""For one push of metrics, its repeats included."""


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
    page = Page(settings, state_directory=state.path)
    lock = LeaderLock(lambda: services.release_lock(settings, worker_id(settings)), log=log)
    supervisor = _supervisor(settings, state, forked, lock, log, page)
    pushes = _pushes(settings, log)
    snapshot = _snapshots(settings, supervisor, forked, pushes)
    pauses = PauseWatch(
        services.pause_flag(settings),
        PauseFile(state),
        supervisor,
        worker_id=worker_id(settings),
        now_ms=lambda: int(time.time() * 1000),
        log=log,
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(_signals_stop(supervisor))
        stack.push_async_callback(lock.close)
        if settings.integer("http.port"):
            host, port = settings.text("http.host"), settings.integer("http.port")
            text = MetricsText(snapshot, monotonic=time.monotonic)
            site = page.site(supervisor.status, probes(supervisor.status, text.metrics_text))
            await stack.enter_async_context(
                http.serving(host, port, site, partial(log.warning, event="http_trouble"))
            )
        await stack.enter_async_context(_events(state, supervisor, log))
        log.info(
            f"application {settings.text('applicationName')} as {worker_id(settings)}, state in {state.path}",
            event="daemon_started",
            worker=worker_id(settings),
            version=__version__,
        )
        sending = pushing(
            snapshot,
            seconds=settings.seconds("metrics.interval"),
            pushes=pushes,
            emf=EmfLines() if settings.flag("metrics.emf") else None,
            write=_write_to_stdout,
        )
        await stack.enter_async_context(sending)
        if settings.flag(FORK_SERVER):
            await stack.enter_async_context(_fork_server(settings, state, command, forked, log))
        await stack.enter_async_context(supervisor.watching())
        try:
            open_shards = await _prepared(settings, services.prepare, supervisor, log)
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


def _supervisor(
    settings: Settings, state: StateDirectory, forked: Forked, lock: LeaderLock, log: Log, page: Page
) -> Supervisor:
    grace = settings.integer("shutdownGraceMillis") / 1000 + settings.seconds("supervisor.grace_margin")
    open_chunk_seconds = settings.seconds("chunk.window") + settings.seconds("chunk.grace")
    return Supervisor(
        forked=forked,
        restarts=_restarts(settings),
        limits=Limits(grace_seconds=grace, hang_seconds=settings.seconds("supervisor.hang_timeout")),
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
        sources=Sources(now=time.time, monotonic=time.monotonic, random=random.random),
        log=log,
        publish=_publisher(state, page, log),
        heard=lock.heard,
    )


def _snapshots(
    settings: Settings, supervisor: Supervisor, forked: Forked, pushes: Pushes | None
) -> Callable[[], Snapshot]:
    memory = ProcessMemory(fork_server=lambda: forked.server, monotonic=time.monotonic)
    method = settings.text("bigquery.method") if settings.backend == "bigquery" else "put_object"

    def snapshot() -> Snapshot:
        status = supervisor.status()
        return Snapshot(
            status=status,
            version=__version__,
            method=method,
            memory=memory.of(status),
            failed_pushes=0 if pushes is None else pushes.failed,
        )

    return snapshot


def _pushes(settings: Settings, log: Log) -> Pushes | None:
    endpoint = settings.optional_text("metrics.otlp_endpoint")
    if endpoint is None:
        return None
    timeout_seconds = min(_PUSH_SECONDS, settings.seconds("metrics.interval"))

    def make() -> Pusher:
        from consumer.daemon.metrics.otlp import pusher_to

        return pusher_to(endpoint, settings.optional_text("regionName"), timeout_seconds=timeout_seconds)

    return Pushes(
        make,
        warn=partial(log.warning, event="metrics_push_failed"),
        info=partial(log.info, event="metrics_push_works"),
    )


def _write_to_stdout(line: str) -> None:
    """A reader that is gone must not end the daemon."""
    with suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


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


def _publisher(state: StateDirectory, page: Page, log: Log) -> Callable[[Status], None]:
    """Tells the page and writes status.json; a full disk is worth a line each time it begins, and no more."""
    failing = False

    def publish(status: Status) -> None:
        nonlocal failing
        content = encode(status)
        page.saw(content)
        try:
            state.write(state.status_file, content)
            failing = False
        except OSError as error:
            if not failing:
                log.error(
                    f"worker.state_dir: cannot write {state.status_file}: {error.strerror}",
                    event="state_unwritable",
                )
            failing = True

    return publish


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
    supervisor: Supervisor,
    log: Log,
) -> int | None:
    """Prepares the backend; returns the number of open shards. Raises Stopped when told to stop meanwhile."""
    stop = threading.Event()
    patience = Patience(
        timeout_seconds=settings.seconds("supervisor.prepare_timeout"),
        monotonic=time.monotonic,
        pause=stop.wait,
        tell=supervisor.hold_for,
    )
    done = in_thread(lambda: prepare(settings, patience, log))
    stopping = asyncio.create_task(supervisor.stopping.wait())
    await asyncio.wait((done, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not done.done():
        stop.set()
        done.cancel()
        raise Stopped
    return done.result()
