"""Keeps the fork server running, from which shard processes are forked (consumer/shard/process/fork_server.py)."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

from consumer.daemon.report.log import Log
from consumer.daemon.supervise.forked import Forked
from consumer.daemon.supervise.restarts import RestartPolicy
from consumer.daemon.supervise.session import Session, describe_exit

SERVER_MODULE = "consumer.shard.process.fork_server"


class ForkServerProcess:
    """One server after another on one listening socket, in which launchers wait while there is none.

    Shard processes outlive their server and do without one, so it is started again for ever.
    """

    def __init__(
        self,
        *,
        listener: socket.socket,
        environment: Mapping[str, str],
        forked: Forked,
        restarts: RestartPolicy,
        monotonic: Callable[[], float],
        random: Callable[[], float],
        log: Log,
    ) -> None:
        self._listener = listener
        self._environment = environment
        self._forked = forked
        self._restarts = restarts
        self._monotonic = monotonic
        self._random = random
        self._log = log

    async def keep(self) -> None:
        """Until cancelled; then the server is killed."""
        rapid_ends = 0
        while True:
            began = self._monotonic()
            ended = await self._run()
            ran = self._monotonic() - began
            rapid_ends = self._restarts.after_end(ran_seconds=ran, rapid_ends=rapid_ends)
            delay = self._restarts.delay_seconds(rapid_ends, self._random)
            self._log.error(
                f"the fork server ended ({ended}); its shard processes run on, a new one in {delay:.1f} s",
                event="fork_server_ended",
            )
            await asyncio.sleep(delay)

    async def _run(self) -> str:
        """One life of it; returns how it ended."""
        arguments = [sys.executable, "-m", SERVER_MODULE]
        try:
            session = Session.start(arguments, self._environment, self._relay, stdin=self._listener.fileno())
        except OSError as error:
            return str(error.strerror)
        self._forked.server_runs(session.pid)
        self._log.info(f"the fork server runs as process {session.pid}", event="fork_server_started")
        try:
            return describe_exit(await session.wait())
        except asyncio.CancelledError:
            session.kill()
            with suppress(asyncio.CancelledError):
                await session.wait()
            raise
        finally:
            self._forked.server_ended()
            session.close()

    def _relay(self, line: str) -> None:
        self._log.warning(f"fork server: {line}", event="fork_server_output")
