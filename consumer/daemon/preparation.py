"""What has to be there before the JVM starts: the stream, the buckets, the tables. Blocks; runs in a thread.

Unusable(Exception)        someone has to mend something: the start fails with this line NotReady(Exception)
waiting may cure it: asked again with growing pauses until supervisor.prepare_timeout └── Unreachable
nothing answers: asked again for a few seconds only, for a wrong port stays wrong
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from consumer.daemon.errors import StartFailed
from consumer.daemon.log import Log

UNREACHABLE_SECONDS = 5.0

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_AT_ONCE = 8


class Unusable(Exception):
    """One line that names the setting to mend."""


class NotReady(Exception):
    """One line that says what is waited for."""


class Unreachable(NotReady):
    """Nothing answers at an address; the line names the setting that holds it."""


class Stopped(Exception):
    """The daemon was told to stop meanwhile."""


class Step(Protocol):
    """One thing to check or to make; may be called again after NotReady."""

    def __call__(self) -> str:
        """Returns a line that says what is there; raises Unusable or NotReady."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to ask again, and how. `pause` waits and tells whether the daemon was told to stop meanwhile."""

    timeout_seconds: float
    monotonic: Callable[[], float]
    pause: Callable[[float], bool]


def prepare(steps: Iterable[Step], *, patience: Patience, log: Log) -> None:
    """Does all steps, several at once; raises StartFailed with a line for each that cannot succeed, or
    Stopped."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="prepare") as pool:
        futures = [pool.submit(_persist, step, patience, log) for step in steps]
    faults = [future.exception() for future in futures if future.exception() is not None]
    for fault in faults:
        if not isinstance(fault, Unusable):
            raise fault  # type: ignore[misc]
    if faults:
        raise StartFailed(*dict.fromkeys(str(fault) for fault in faults))


def _persist(step: Step, patience: Patience, log: Log) -> None:
    began = patience.monotonic()
    pause = _FIRST_PAUSE_SECONDS
    told = ""
    while True:
        try:
            log.info(step())
            return
        except NotReady as error:
            waited = patience.monotonic() - began
            if waited >= _most_seconds(error, patience):
                raise Unusable(str(error)) from error
            if str(error) != told and not isinstance(error, Unreachable):
                told = str(error)
                log.warning(f"{told}; asking again")
        if patience.pause(pause):
            raise Stopped
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _most_seconds(error: NotReady, patience: Patience) -> float:
    if isinstance(error, Unreachable):
        return min(UNREACHABLE_SECONDS, patience.timeout_seconds)
    return patience.timeout_seconds
