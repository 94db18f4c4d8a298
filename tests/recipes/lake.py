"""What the daemon delivers of a stream: shard processes are given the records, and write objects and rows."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Protocol

from consumer.daemon.prepare.backend import prepare_backend
from consumer.daemon.prepare.preparation import Patience
from consumer.daemon.report.log import Log
from consumer.local import stack as stacks
from consumer.local.look import OnStack
from consumer.local.stack import Stack
from consumer.settings import PROJECT_ROOT, Settings, load
from consumer.settings.table import Backend
from tests.functional.harness.kcl import Kcl, as_kcl_line, record

TEMPLATE = "type={content_type|none}/dt=%Y-%m-%d"
_ANSWER_RECORDS = 4000
"""Of one answer of Kinesis."""


class Arriving(Protocol):
    @property
    def data(self) -> bytes: ...
    @property
    def arrived(self) -> datetime: ...


def messages(records: Iterable[Arriving]) -> list[bytes]:
    """What the KCL says of a shard that has these records."""
    given = [
        record(place + 1, each.data, arrival_ms=round(each.arrived.timestamp() * 1000))
        for place, each in enumerate(records)
    ]
    cuts = range(0, len(given), _ANSWER_RECORDS)
    return [
        as_kcl_line(
            {
                "action": "processRecords",
                "records": given[cut : cut + _ANSWER_RECORDS],
                "millisBehindLatest": 60_000,
            }
        )
        for cut in cuts
    ]


def settings_of(stack: Stack, backend: Backend, changes: Mapping[str, str]) -> Settings:
    """As shipped, on the embedded stack, with chunks of an hour."""
    few = {"chunk.window": "1h"}
    return load(
        backend,
        file=PROJECT_ROOT / f"properties/{backend}.properties",
        overrides={**stacks.overrides(stack, backend), **few, **changes},
    )


class _PatientKcl(Kcl):
    """The embedded stack takes its time on a busy machine, and has a few dozen chunks to take."""

    patience = 300


def deliver(settings: Settings, told: Sequence[bytes], folder: Path) -> None:
    """By one shard process, which is told `messages` and then the end of the shard: all is durable when it ends."""
    patience = Patience(timeout_seconds=60, monotonic=time.monotonic, pause=Event().wait, tell=_fail)
    prepare_backend(settings, patience, Log(backend=settings.backend, level="ERROR", clock=time.time))
    kcl = _PatientKcl(settings, folder)
    try:
        kcl.initialize(shard="shardId-000000000000")
        for message in told:
            kcl.write(message)
            kcl.status_of("processRecords")
        kcl.end_shard()
        assert kcl.confirmed[-1] == (None, None), kcl.stderr
        assert kcl.finish() == 0, kcl.stderr
    finally:
        kcl.kill()


def _fail(faults: Sequence[str]) -> None:
    """Of what somebody has to mend, which nobody will."""
    assert not faults, faults


def keys(stack: Stack, prefix: str) -> Iterator[str]:
    return (listed.key for listed in OnStack(stack).objects(prefix))


def dead_letters(stack: Stack) -> list[str]:
    """Keys of their objects."""
    return [key for key in keys(stack, "deadletter/") if not key.startswith("deadletter/audit/")]


def download(stack: Stack, prefix: str, folder: Path) -> None:
    """The objects under a prefix as files."""
    bucket = OnStack(stack)
    for key in keys(stack, prefix):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.content(key))
