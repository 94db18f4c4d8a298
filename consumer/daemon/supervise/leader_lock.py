"""Keeps the lock of the KCL's leader from standing for two minutes after nobody holds it: before a JVM is started, and
where a JVM that leads has given it up and could not say so in DynamoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from consumer.daemon.report.log import Log
from consumer.daemon.supervise.background import in_thread

_ASK_SECONDS = 3.0
"""A JVM that is to start does not wait longer for an answer: without DynamoDB it has nothing to do."""
_AGAIN_SECONDS = 2.0
_GIVEN_UP = "DynamoDBLockBasedLeaderDecider|Failed to complete releaseLeadershipIfHeld call"
"""Of the KCL 3.1.3, which gives the lock up after three assignments of leases in a row that have failed, as in an
outage of DynamoDB. It does not renew it any more, and neither it nor any other worker gets it before it has run out."""


class LeaderLock:
    """`release` blocks, and tells whether the lock was this worker's; with another owner it does nothing."""

    def __init__(
        self, release: Callable[[], bool], *, log: Log, again_seconds: float = _AGAIN_SECONDS
    ) -> None:
        self._release = release
        self._log = log
        self._again_seconds = again_seconds
        self._releasing: asyncio.Task[None] | None = None

    async def before_a_jvm(self) -> None:
        """What the last JVM of this worker has left behind is released, or told."""
        await self.close()
        try:
            was_ours = await asyncio.wait_for(in_thread(self._release), _ASK_SECONDS)
        except Exception as error:  # noqa: BLE001 - it runs out by itself
            self._log.warning(
                "the lock of the KCL's leader could not be looked at, so leases may be assigned two minutes late:"
                f" {type(error).__name__}: {error}"
            )
            return
        if was_ours:
            self._log.info(
                "the lock of the KCL's leader is released, which this worker's last JVM has left behind"
            )

    def heard(self, line: str) -> None:
        """Takes a line of the JVM's output."""
        if _GIVEN_UP in line and (self._releasing is None or self._releasing.done()):
            self._releasing = asyncio.create_task(self._release_given_up())

    async def close(self) -> None:
        if self._releasing is not None:
            self._releasing.cancel()
            with suppress(asyncio.CancelledError):
                await self._releasing
            self._releasing = None

    async def _release_given_up(self) -> None:
        """Until DynamoDB has answered. Should the KCL's own attempt have held, there is nothing to release."""
        while True:
            try:
                was_ours = await in_thread(self._release)
            except Exception:  # noqa: BLE001 - the KCL and health tell what keeps DynamoDB from answering
                await asyncio.sleep(self._again_seconds)
                continue
            if was_ours:
                self._log.info(
                    "the lock of the KCL's leader is released, which the JVM gave up without DynamoDB's answer"
                )
            return
