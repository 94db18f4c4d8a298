"""The shard process from its start to its end."""

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import gevent

from consumer.domain.events import SHARD_PROCESS_NAME, Event, LogEvent
from consumer.domain.names import (
    EVENTS_VARIABLE,
    NATIVE_VARIABLE,
    PAUSED_FILE,
    SETTINGS_VARIABLE,
    TAPS_FOLDER,
)
from consumer.native import library
from consumer.settings import Settings
from consumer.shard.delivery.status import EventSocket, say, send_to_stderr
from consumer.shard.delivery.taps import Listeners
from consumer.shard.kcl.line_reader import LineReader
from consumer.shard.kcl.processor import ShardProcessor
from consumer.shard.kcl.protocol import ShardProcess, write_all
from consumer.shard.kcl.tip import Tip, fetched_ahead
from consumer.shard.process.assembly import build_pipeline, drain_seconds
from consumer.shard.process.memory import FreedMemory

STATUS_SECONDS = 1.0
UNCLAIMED_DRAIN_FACTOR = 3
"""A draining process that nobody shuts down would hold its shard for ever: after so many times the drain it ends,
and the KCL starts anew."""

EXIT_CRASHED = 70

_YOUNG_OBJECTS = 10_000
"""Rows are made some hundred at a time and freed without the collector, which by default would look at each of them.
Beside them there are cycles in failed requests, a body in each: it must not let them wait for long."""


def main() -> NoReturn:
    """Runs until the KCL closes stdin. Never returns: gevent's own shut-down would wait for open connections."""
    _take_name()
    descriptors = _claim_standard_streams()
    events = _events()
    send = send_to_stderr if events is None else events.send
    settings = _settings()
    if not settings.flag("shard.native"):
        os.environ[NATIVE_VARIABLE] = "off"
        library.found.cache_clear()
    tip = Tip(fetched_ahead(settings.optional_text("retrievalMode")))
    beside = Path(os.environ[SETTINGS_VARIABLE]).absolute()
    listeners = Listeners(beside.with_name(TAPS_FOLDER))
    processor = ShardProcessor(partial(build_pipeline, settings, send, listeners=listeners), tip)
    _handle_signals(processor, drain_seconds(settings) * UNCLAIMED_DRAIN_FACTOR)
    reader = LineReader(descriptors[0])
    paused_file = beside.with_name(PAUSED_FILE)
    processor.pause(paused_file.exists())
    listeners.look()
    gevent.spawn(_report_status, processor, reader, paused_file, listeners)
    # what is loaded by now lives as long as the process
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    try:
        _process(processor, reader, descriptors[1]).run()
    except SystemExit as end:
        _report_last(processor, reader, events)
        _exit(end.code if isinstance(end.code, int) else 1)
    except BaseException as error:  # noqa: BLE001 - the process' edge: say why, then let the KCL start a new one
        _say_crashed(error, processor, send)
        _report_last(processor, reader, events)
        _exit(EXIT_CRASHED)
    _report_last(processor, reader, events)
    _exit(0)


def _take_name() -> None:
    with suppress(OSError):  # where /proc cannot be written
        Path("/proc/self/comm").write_text(SHARD_PROCESS_NAME)


def _claim_standard_streams() -> tuple[int, int]:
    """Private descriptors for the protocol; stdout becomes stderr, so that no stray print reaches the KCL (I9)."""
    protocol_in, protocol_out = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return protocol_in, protocol_out


def _settings() -> Settings:
    return Settings.parse(Path(os.environ[SETTINGS_VARIABLE]).read_bytes())


def _events() -> EventSocket | None:
    path = os.environ.get(EVENTS_VARIABLE)
    return EventSocket(path) if path else None


def _process(processor: ShardProcessor, reader: LineReader, protocol_out: int) -> ShardProcess:
    return ShardProcess(
        processor, reader=reader, write=partial(write_all, protocol_out), error_file=sys.stderr
    )


def _handle_signals(processor: ShardProcessor, unclaimed_seconds: float) -> None:
    """SIGTERM means drain. SIGINT comes from a terminal to the whole group; the supervisor acts on it."""
    gevent.signal_handler(signal.SIGTERM, _drain, processor, unclaimed_seconds)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _drain(processor: ShardProcessor, unclaimed_seconds: float) -> None:
    if not processor.drain_asked:
        gevent.spawn_later(unclaimed_seconds, _end_unclaimed, processor)
    processor.drain()


def _end_unclaimed(processor: ShardProcessor) -> NoReturn:
    if processor.status is not None:
        processor.status.log("WARNING", "drained, but nobody shut this shard process down: it ends")
    _exit(1)


def _report_status(
    processor: ShardProcessor, reader: LineReader, paused_file: Path, listeners: Listeners
) -> None:
    memory = FreedMemory()
    while True:
        gevent.sleep(STATUS_SECONDS)
        processor.pause(paused_file.exists())
        listeners.look()
        _report(processor, reader)
        if processor.status is not None:
            memory.look(processor.status.counters["bytes_read"])


def _report(processor: ShardProcessor, reader: LineReader) -> None:
    if processor.pipeline is not None and processor.status is not None:
        processor.status.report(processor.pipeline, waiting_since=reader.waiting_since)


def _report_last(processor: ShardProcessor, reader: LineReader, events: EventSocket | None) -> None:
    if events is not None:
        events.wait_for_room()
    _report(processor, reader)


def _say_crashed(error: BaseException, processor: ShardProcessor, send: Callable[[Event], None]) -> None:
    text = "".join(traceback.format_exception(error))
    shard = processor.status.shard if processor.status else ""
    send(
        LogEvent(
            level="ERROR",
            shard=shard,
            pid=os.getpid(),
            message=f"shard process ends: {text}",
            name="shard_crashed",
        )
    )
    say(text)


def _exit(code: int) -> NoReturn:
    os._exit(code)
