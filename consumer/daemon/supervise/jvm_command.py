"""The command of each JVM that is started: how large its heap may become, and the AOT cache that it starts with."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

from consumer.daemon.report.log import Log
from consumer.daemon.supervise import aot_cache, heap
from consumer.daemon.supervise.background import in_thread
from consumer.daemon.supervise.java import JavaCommand
from consumer.daemon.supervise.leader_lock import LeaderLock
from consumer.settings import Settings

_ASK_SECONDS = 3.0
"""A JVM that is to start does not wait longer for an answer: without Kinesis and DynamoDB it has nothing to do."""


_FATAL = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
"""How a JVM ends that has come upon something impossible, as in a cache that is not what it takes it for."""


class Commands:
    """`open_shards` is their number at the start, None if unknown; `count` blocks, and gives it anew. `cache` blocks,
    gives the AOT cache, and raises Unusable; None is for a Java that has none. No command is given before `lock` has
    let go of what the last JVM may have left behind."""

    def __init__(
        self,
        command: JavaCommand,
        settings: Settings,
        *,
        open_shards: int | None,
        count: Callable[[], int | None],
        cache: Callable[[], Path] | None,
        lock: LeaderLock,
        log: Log,
    ) -> None:
        self._command = command
        self._open_shards = open_shards
        self._count = count
        self._cache = cache
        self._lock = lock
        self._log = log
        self._chosen = heap.chosen_by(shlex.split(settings.text("jvm.options")))
        self._given = settings["jvm.heap"]
        self._most_leases = int(settings.kcl.get("maxLeasesForWorker", "0"))

    async def first(self) -> JavaCommand:
        """For as many shards as there were at the start."""
        await self._lock.before_a_jvm()
        return await self._warm(self._by_settings() or self._for_open_shards())

    def _by_settings(self) -> JavaCommand | None:
        if self._chosen is not None:
            self._log.info(f"jvm.options: {self._chosen} says how large the JVM's heap may become")
            return self._command
        if self._given is not None:
            return self._command.with_heap(int(self._given) >> 20)
        return None

    async def next(self, *, last_code: int) -> JavaCommand:
        """For as many shards as there are by now, or were at last where nobody says so in time. `last_code` is how the
        last JVM has ended, negative for a signal."""
        if -last_code in _FATAL and self._cache is not None:
            self._log.warning(
                "the JVM has crashed: the next ones start without an AOT cache, in case it was that"
            )
            self._cache = None
        await self._lock.before_a_jvm()
        chosen = self._by_settings()
        if chosen is not None:
            return await self._warm(chosen)
        try:
            counted = await asyncio.wait_for(in_thread(self._count), _ASK_SECONDS)
        except Exception as error:  # noqa: BLE001 - a JVM with the former heap is better than none
            self._log.warning(f"the stream's shards could not be counted: {type(error).__name__}: {error}")
            counted = None
        if counted is not None:
            self._open_shards = counted
        return await self._warm(self._for_open_shards())

    async def _warm(self, command: JavaCommand) -> JavaCommand:
        if self._cache is None:
            return command
        try:
            cache = await in_thread(self._cache)
        except aot_cache.Unusable as reason:
            self._log.warning(
                f"the JVM starts without an AOT cache, which takes it some seconds longer: {reason}"
            )
            return command
        return command.with_options(f"-XX:AOTCache={cache}")

    def _for_open_shards(self) -> JavaCommand:
        shards = self._open_shards or 0
        shards = min(shards, self._most_leases) if self._most_leases else shards
        found = heap.heap_for(shards, memory_bytes=heap.memory_bytes())
        if found.is_enough:
            self._log.info(f"the JVM's heap may become {found.mib} MiB")
        else:
            self._log.warning(
                f"jvm.heap: {shards} shards that lag need up to {found.needed_mib} MiB, and two fifths of the memory"
                f" are {found.mib} MiB: give this worker more memory, or fewer shards by maxLeasesForWorker, or say"
                " by jvm.heap what is enough for records of your size"
            )
        return self._command.with_heap(found.mib)
