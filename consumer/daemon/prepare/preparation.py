"""What has to be there before the JVM starts: the stream, the buckets, the tables. Blocks; runs in a thread.

Trouble(Exception)         one line, and what of several alike it is about
├── Unusable               the settings are wrong: the start fails with this line
│   └── Mendable           someone has to mend something at the backend: asked for ever, and told about
└── NotReady               waiting may cure it: asked with growing pauses until supervisor.prepare_timeout
    └── Unreachable        nothing answers: where nothing ever has, asked for a few seconds only, for a wrong port
                           stays wrong
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.daemon.errors import StartFailed
from consumer.daemon.report.log import Log
from consumer.domain.excerpts import excerpt

UNREACHABLE_SECONDS = 3.0

_MESSAGE_CHARACTERS = 4000
"""Room for what is wrong with each of several tables."""
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_UNREACHABLE_PAUSE_SECONDS = 1.0
_AT_ONCE = 8
_SUBJECTS_SHOWN = 2


class Trouble(Exception):
    """`subject` is what of several alike the message is about. A long message, in which a service is quoted, is cut."""

    def __init__(self, message: str, *, subject: str = "") -> None:
        message = excerpt(message, _MESSAGE_CHARACTERS)
        self.message = message
        self.subject = subject
        super().__init__(f"{message} ({subject})" if subject else message)


class Unusable(Trouble):
    """One line that names the setting to mend."""


class Mendable(Unusable):
    """One line that names what to mend; once that is done, the same settings will do."""


class NotReady(Trouble):
    """One line that says what is waited for."""


class Unreachable(NotReady):
    """Nothing answers at an address; the line names the setting that holds it."""


class Stopped(Exception):
    """The daemon was told to stop meanwhile."""


class Step(Protocol):
    """One thing to check or to make; may be called again after NotReady and Mendable."""

    def __call__(self) -> str:
        """Returns a line that says what is there; raises Unusable or NotReady."""


def _tell_nobody(faults: tuple[str, ...]) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to ask again, and how. `pause` waits and tells whether the daemon was told to stop meanwhile; `tell`
    gets the lines of all that someone has to mend, none once that is done."""

    timeout_seconds: float
    monotonic: Callable[[], float]
    pause: Callable[[float], bool]
    tell: Callable[[tuple[str, ...]], None] = _tell_nobody


@dataclass(slots=True)
class _Open:
    """A step that has not succeeded. `since` is when waiting for it began."""

    step: Step
    since: float
    was_answered: bool = False

    def wait_is_over(self, trouble: NotReady, patience: Patience) -> bool:
        limit = patience.timeout_seconds
        if isinstance(trouble, Unreachable) and not self.was_answered:
            limit = min(UNREACHABLE_SECONDS, limit)
        return patience.monotonic() - self.since >= limit


def prepare(steps: Iterable[Step], *, patience: Patience, log: Log) -> None:
    """Does all steps in rounds, several at once; raises StartFailed with a line for each fault that cannot be waited
    out, or Stopped.

    Threads that are still in a request when the daemon is told to stop do not keep the process.
    """
    began = patience.monotonic()
    left = [_Open(step, began) for step in steps]
    pause = _FIRST_PAUSE_SECONDS
    teller = _Teller(patience, log)
    while True:
        troubles = _round(left, log)
        _raise_hopeless(left, troubles, patience)
        pairs = [(each, trouble) for each, trouble in zip(left, troubles, strict=True) if trouble is not None]
        left = [each for each, _ in pairs]
        teller.tell([trouble for _, trouble in pairs], pause)
        if not pairs:
            return
        for each, trouble in pairs:
            if not isinstance(trouble, Unreachable):
                each.was_answered = True
            if isinstance(trouble, Mendable):
                each.since = patience.monotonic()
        if patience.pause(pause):
            raise Stopped
        pause = min(pause * 2, _longest_pause([trouble for _, trouble in pairs]))


def _round(steps: Sequence[_Open], log: Log) -> list[Trouble | None]:
    """The trouble of each step, None where it is done; raises what nobody foresaw."""
    places = queue.SimpleQueue[int]()
    for place in range(len(steps)):
        places.put(place)
    outcomes = queue.SimpleQueue[tuple[int, Exception | None]]()

    def work() -> None:
        while True:
            try:
                place = places.get_nowait()
            except queue.Empty:
                return
            try:
                log.info(steps[place].step(), event="prepared")
            except Exception as error:  # noqa: BLE001 - told apart below, in the thread that waits
                outcomes.put((place, error))
            else:
                outcomes.put((place, None))

    for _ in range(min(_AT_ONCE, len(steps))):
        threading.Thread(target=work, daemon=True).start()
    troubles: list[Trouble | None] = [None] * len(steps)
    for _ in steps:
        place, error = outcomes.get()
        if error is not None and not isinstance(error, Trouble):
            raise error
        troubles[place] = error
    return troubles


def _raise_hopeless(steps: Sequence[_Open], troubles: Sequence[Trouble | None], patience: Patience) -> None:
    hopeless = [
        trouble
        for step, trouble in zip(steps, troubles, strict=True)
        if (isinstance(trouble, Unusable) and not isinstance(trouble, Mendable))
        or (isinstance(trouble, NotReady) and step.wait_is_over(trouble, patience))
    ]
    if hopeless:
        raise StartFailed(*fault_lines([*hopeless, *_of(Mendable, troubles)]))


def _of[T: Trouble](kind: type[T], troubles: Iterable[Trouble | None]) -> list[T]:
    return [trouble for trouble in troubles if isinstance(trouble, kind)]


def _longest_pause(troubles: Sequence[Trouble]) -> float:
    if all(isinstance(trouble, Unreachable) for trouble in troubles):
        return _UNREACHABLE_PAUSE_SECONDS
    return _LONGEST_PAUSE_SECONDS


class _Teller:
    """Says what is waited for; a fault that stays the same ever more rarely, for it may stay for days."""

    def __init__(self, patience: Patience, log: Log) -> None:
        self._tell = patience.tell
        self._log = log
        self._faults: tuple[str, ...] = ()
        self._rounds = 0

    def tell(self, troubles: Sequence[Trouble], pause_seconds: float) -> None:
        waited_for = [each for each in _of(NotReady, troubles) if not isinstance(each, Unreachable)]
        for line in fault_lines(waited_for):
            self._log.warning(f"{line}; asking again in {pause_seconds:.1f} s", event="preparation_waits")
        faults = tuple(fault_lines(_of(Mendable, troubles)))
        self._rounds = self._rounds + 1 if faults == self._faults else 0
        if self._rounds & (self._rounds + 1) == 0:  # 0, 1, 3, 7, 15, …
            for line in faults:
                self._log.error(
                    f"{line}; nothing is delivered until that is mended, then it starts by itself",
                    event="setup_blocked",
                )
        self._faults = faults
        self._tell(faults)


def fault_lines(faults: Iterable[Trouble]) -> Iterator[str]:
    """One line for each message, with the subjects that share it: 16 tables of one wrong schema are one fault."""
    subjects: dict[str, list[str]] = {}
    for fault in faults:
        subjects.setdefault(fault.message, []).append(fault.subject)
    for message, named in subjects.items():
        shown = ", ".join(sorted(filter(None, named))[:_SUBJECTS_SHOWN])
        more = f" and {len(named) - _SUBJECTS_SHOWN} more" if len(named) > _SUBJECTS_SHOWN else ""
        yield f"{message} ({shown}{more})" if shown else message
