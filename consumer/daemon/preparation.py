"""What has to be there before the JVM starts: the stream, the buckets, the tables. Blocks; runs in a thread.

Unusable(Exception)        someone has to mend something: the start fails with this line NotReady(Exception)
waiting may cure it: asked again with growing pauses until supervisor.prepare_timeout └── Unreachable
nothing answers: asked again for a few seconds only, for a wrong port stays wrong
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from consumer.daemon.errors import StartFailed
from consumer.daemon.log import Log

UNREACHABLE_SECONDS = 3.0

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_UNREACHABLE_PAUSE_SECONDS = 1.0
_AT_ONCE = 8
_SUBJECTS_SHOWN = 2


class Unusable(Exception):
    """One line that names the setting to mend; `subject` is what of several alike it is about."""

    def __init__(self, message: str, *, subject: str = "") -> None:
        self.message = message
        self.subject = subject
        super().__init__(f"{message} ({subject})" if subject else message)


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
    """Does all steps, several at once; raises StartFailed with a line for each that cannot succeed, or Stopped.

    Threads that are still in a request when the daemon is told to stop do not keep the process.
    """
    places = threading.BoundedSemaphore(_AT_ONCE)
    outcomes: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def work(step: Step) -> None:
        with places:
            try:
                _persist(step, patience, log)
            except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits
                outcomes.put(error)
            else:
                outcomes.put(None)

    threads = [threading.Thread(target=work, args=(step,), daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    _raise_all([outcomes.get() for _ in threads])


def _raise_all(outcomes: Iterable[Exception | None]) -> None:
    faults = [outcome for outcome in outcomes if outcome is not None]
    for fault in faults:
        if not isinstance(fault, Unusable):
            raise fault
    if faults:
        raise StartFailed(*fault_lines(fault for fault in faults if isinstance(fault, Unusable)))


def fault_lines(faults: Iterable[Unusable]) -> Iterator[str]:
    """One line for each message, with the subjects that share it: 16 tables of one wrong schema are one fault."""
    subjects: dict[str, list[str]] = {}
    for fault in faults:
        subjects.setdefault(fault.message, []).append(fault.subject)
    for message, named in subjects.items():
        shown = ", ".join(sorted(filter(None, named))[:_SUBJECTS_SHOWN])
        more = f" and {len(named) - _SUBJECTS_SHOWN} more" if len(named) > _SUBJECTS_SHOWN else ""
        yield f"{message} ({shown}{more})" if shown else message


def _persist(step: Step, patience: Patience, log: Log) -> None:
    began = patience.monotonic()
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            log.info(step())
            return
        except NotReady as error:
            waited = patience.monotonic() - began
            if waited >= _most_seconds(error, patience):
                raise Unusable(str(error)) from error
            longest = _UNREACHABLE_PAUSE_SECONDS if isinstance(error, Unreachable) else _LONGEST_PAUSE_SECONDS
            if not isinstance(error, Unreachable):
                log.warning(f"{error}; asking again in {pause:.1f} s")
        if patience.pause(pause):
            raise Stopped
        pause = min(pause * 2, longest)


def _most_seconds(error: NotReady, patience: Patience) -> float:
    if isinstance(error, Unreachable):
        return min(UNREACHABLE_SECONDS, patience.timeout_seconds)
    return patience.timeout_seconds
