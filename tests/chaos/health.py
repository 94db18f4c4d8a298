"""Held against what the embedded Kinesis has seen: what the workers say while shards go unread.

Whenever a shard goes unread, for whatever reason, the status of some worker has to name it within ILL_WITHIN_SECONDS
of its last read, and may name it for WELL_WITHIN_SECONDS after it is read again, no longer, and at no other time.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from consumer.settings.table import Backend
from tests.chaos.reads import Unread

ILL_WITHIN_SECONDS = 45.0
"""Of the last read. `health.unread_after` is 16 s in a run, the lease table is looked at every four, and what the KCL
has fetched ahead it gives to the process later, on a busy machine much later."""
WELL_WITHIN_SECONDS = 60.0
"""Of the moment from which all shards are read again."""
HELD_WITHIN_SECONDS = 75.0
"""Of a shard whose process holds records that its backend does not take, so that it takes no more: their window, the
grace and `hold.unhealthy_after`, 66 s in a run. Once they are delivered it is given what the KCL has fetched ahead,
which looks like a read, so ILL_WITHIN_SECONDS count from there."""
READ_SECONDS = 8.0
"""A shard that was read so lately is read: the KCL asks about four times a second, on a busy machine less often."""
_BLINK_SECONDS = 5.0
"""Some looks: the status and the reads are not asked at one moment."""

_SHARD = re.compile(r"(?P<shard>\S+): not read for \d+ s: ")
_TABLE = re.compile(r"\(for \d+ s\)$")
_NONE_OPENED = re.compile(r"no shard has been opened for \d+ s")

RUNNING, STOPPING = "running", "stopping"

type _Moment = tuple[float, str]  # seconds of the run, what the status said


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A status: since when its supervisor runs, in seconds of the run, and what it says; `held` are the shards with
    chunks in flight."""

    healthy: bool
    phase: str = RUNNING
    reasons: tuple[str, ...] = ()
    since: float = 0.0
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Look:
    """At a moment of the run, in seconds: what each worker says whose supervisor keeps its status up, and how long
    each shard that is to be read has gone without."""

    at: float
    said: Mapping[str, Said]
    unread: Mapping[str, Unread]

    @property
    def ill(self) -> bool:
        return any(not said.healthy for said in self.said.values())

    @property
    def well(self) -> bool:
        return bool(self.said) and not self.ill

    @property
    def all_read(self) -> bool:
        return all(one.at_end or one.seconds < READ_SECONDS for one in self.unread.values())


@dataclass(frozen=True, slots=True)
class Withheld:
    """A while in which the lease table could not be read."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingFault:
    """How a backend came through a fault that keeps it from reading.

    `ill_after` counts from its beginning, 0 where the status was ill already; `read_after` from its end to the moment
    from which all shards were read; `well_after` from the later of both. None is never. `late` is what kept the status
    ill WELL_WITHIN_SECONDS after its end, None where it had been well by then.
    """

    backend: Backend
    kind: str
    seconds: float
    ill_after: float | None
    read_after: float | None
    well_after: float | None
    late: str | None = None

    def __str__(self) -> str:
        def told(seconds: float | None) -> str:
            return "never" if seconds is None else f"{seconds:.0f} s"

        return (
            f"{self.backend}: {self.kind} of {self.seconds:.0f} s: ill after {told(self.ill_after)},"
            f" all read {told(self.read_after)} after its end, well {told(self.well_after)} after that"
            f"{'' if self.late is None else f'; {WELL_WITHIN_SECONDS:.0f} s after its end: {self.late}'}"
        )


def judge(backend: Backend, looks: Sequence[Look], withheld: Sequence[Withheld] = ()) -> list[str]:
    """What the status should have said and did not, or said and should not have; a line each."""
    silent: dict[str, list[_Moment]] = {}
    alarms: dict[str, list[_Moment]] = {}
    recent: deque[Look] = deque()
    seen = _Seen()
    for look in looks:
        seen.add(look)
        recent.append(look)
        while recent[0].at < look.at - WELL_WITHIN_SECONDS:
            recent.popleft()
        for shard in _unsaid(look, seen):
            said = "; ".join(reason for one in look.said.values() for reason in one.reasons) or "well"
            silent.setdefault(shard, []).append((look.at, said))
        for worker, said_by_it in look.said.items():
            for subject, reason in _false(look.at, said_by_it, recent, withheld):
                alarms.setdefault(f"{subject} of {worker}", []).append((look.at, reason))
    return [
        *_told(backend, "went unread, and no status named it", silent),
        *_told(backend, "was told of though it was read", alarms),
    ]


def reading_fault(
    backend: Backend,
    kind: str,
    looks: Sequence[Look],
    *,
    began: float,
    ended: float,
    next_began: float | None = None,
) -> ReadingFault:
    """`next_began` is when the next fault that keeps from reading did."""
    ill = next((one.at for one in looks if one.at >= began and one.ill), None)
    read = next((one.at for one in looks if one.at >= ended and one.all_read), None)
    well = next((one.at for one in looks if read is not None and one.at >= read and one.well), None)
    return ReadingFault(
        backend=backend,
        kind=kind,
        seconds=ended - began,
        ill_after=None if ill is None else ill - began,
        read_after=None if read is None else read - ended,
        well_after=None if well is None or read is None else well - read,
        late=_late(looks, ended, well, next_began),
    )


def _late(looks: Sequence[Look], ended: float, well: float | None, next_began: float | None) -> str | None:
    limit = ended + WELL_WITHIN_SECONDS
    if well is not None and well <= limit:
        return None
    if next_began is not None and next_began < limit:
        return f"the next such fault had begun, {next_began - ended:.0f} s after it"
    at_limit = next((one for one in looks if one.at >= limit), None)
    said = {} if at_limit is None else at_limit.said
    return (
        "; ".join(f"{worker}: {reason}" for worker, one in said.items() for reason in one.reasons) or "well"
    )


class _Seen:
    """What the looks until now say of when a worker could begin to count: one cannot see that another has the lease,
    renews it and reads nothing, nor that what a process is given was fetched long ago."""

    def __init__(self) -> None:
        self._workers: frozenset[str] = frozenset()
        self._left_at = float("-inf")
        self._held_at: dict[tuple[str, str], float] = {}

    def add(self, look: Look) -> None:
        if self._workers - look.said.keys():
            self._left_at = look.at
        self._workers = frozenset(look.said)
        self._held_at.update(
            {(worker, shard): look.at for worker, said in look.said.items() for shard in said.held}
        )

    def could_count_from(self, worker: str, said: Said, shard: str) -> float:
        """A shard that is held is judged by the longer time alone."""
        held_at = float("-inf") if shard in said.held else self._held_at.get((worker, shard), float("-inf"))
        return max(said.since, self._left_at, held_at)


def _unsaid(look: Look, seen: _Seen) -> Iterator[str]:
    """Unread shards that no worker tells of, though all have had the time to."""
    for shard, unread in look.unread.items():
        if not unread.at_end and look.said:
            silent = (
                _is_silent(
                    said, shard, min(unread.seconds, look.at - seen.could_count_from(worker, said, shard))
                )
                for worker, said in look.said.items()
            )
            if all(silent):
                yield shard


def _is_silent(said: Said, shard: str, seconds: float) -> bool:
    """A preparation without an end and a JVM that has ended are reasons by themselves, and a worker that was told to
    stop is not to read."""
    if said.phase == STOPPING or (said.phase != RUNNING and not said.healthy):
        return False
    if seconds <= (HELD_WITHIN_SECONDS if shard in said.held else ILL_WITHIN_SECONDS):
        return False
    return said.healthy or not any(_names(reason, shard) for reason in said.reasons)


def _names(reason: str, shard: str) -> bool:
    """Whatever is told of a shard, or of the whole table."""
    return reason.startswith(f"{shard}: ") or bool(_TABLE.search(reason) or _NONE_OPENED.match(reason))


def _false(
    at: float, said: Said, recent: Iterable[Look], withheld: Iterable[Withheld]
) -> Iterator[tuple[str, str]]:
    """What is said to go unread, and did not in the last minute; with the reason that says so."""
    gone = any(one.began <= at <= one.ended + WELL_WITHIN_SECONDS for one in withheld)
    for reason in said.reasons:
        if found := _SHARD.match(reason):
            subject = found["shard"]
            true = any(_went_unread(one, subject) for one in recent)
        elif _NONE_OPENED.match(reason):
            subject = "every shard"
            true = gone or any(_went_unread(one, shard) for one in recent for shard in one.unread)
        elif _TABLE.search(reason):
            subject, true = "the lease table", gone
        else:
            continue
        if not true:
            yield subject, reason


def _went_unread(look: Look, shard: str) -> bool:
    return shard in look.unread and look.unread[shard].seconds >= READ_SECONDS


def _told(backend: Backend, what: str, moments: Mapping[str, list[_Moment]]) -> Iterator[str]:
    for subject, each in moments.items():
        for spell in _spells(each):
            began, seconds = spell[0][0], spell[-1][0] - spell[0][0]
            if seconds >= _BLINK_SECONDS:
                yield f"{backend}: {subject} {what}, from {began:.0f} s on for {seconds:.0f} s: {spell[0][1]}"


def _spells(moments: Iterable[_Moment]) -> Iterator[list[_Moment]]:
    """What is less than _BLINK_SECONDS apart belongs together."""
    spell: list[_Moment] = []
    for moment in moments:
        if spell and moment[0] - spell[-1][0] > _BLINK_SECONDS:
            yield spell
            spell = []
        spell.append(moment)
    yield spell
