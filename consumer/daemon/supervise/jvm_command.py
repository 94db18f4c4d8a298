"""The command of each JVM that is started: how large its heap may become follows the stream's open shards."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable

from consumer.daemon.report.log import Log
from consumer.daemon.supervise import heap
from consumer.daemon.supervise.background import in_thread
from consumer.daemon.supervise.java import JavaCommand
from consumer.settings import Settings

_COUNT_SECONDS = 3.0
"""A JVM that is to start again does not wait longer for their number: without Kinesis it has nothing to do anyway."""


class Commands:
    """`open_shards` is their number at the start, None if unknown; `count` blocks, and gives it anew."""

    def __init__(
        self,
        command: JavaCommand,
        settings: Settings,
        *,
        open_shards: int | None,
        count: Callable[[], int | None],
        log: Log,
    ) -> None:
        self._command = command
        self._open_shards = open_shards
        self._count = count
        self._log = log
        self._chosen = heap.chosen_by(shlex.split(settings.text("jvm.options")))
        self._given = settings["jvm.heap"]
        self._most_leases = int(settings.kcl.get("maxLeasesForWorker", "0"))

    def first(self) -> JavaCommand:
        """For as many shards as there were at the start."""
        if self._chosen is not None:
            self._log.info(f"jvm.options: {self._chosen} says how large the JVM's heap may become")
            return self._command
        if self._given is not None:
            return self._command.with_heap(int(self._given) >> 20)
        return self._for_open_shards()

    async def next(self) -> JavaCommand:
        """For as many shards as there are by now, or were at last where nobody says so in time."""
        if self._chosen is not None or self._given is not None:
            return self.first()
        try:
            counted = await asyncio.wait_for(in_thread(self._count), _COUNT_SECONDS)
        except Exception as error:  # noqa: BLE001 - a JVM with the former heap is better than none
            self._log.warning(f"the stream's shards could not be counted: {type(error).__name__}: {error}")
            counted = None
        if counted is not None:
            self._open_shards = counted
        return self._for_open_shards()

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
