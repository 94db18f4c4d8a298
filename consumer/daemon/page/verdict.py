"""Whether all is well, what is wrong and what to do, in a sentence each: for the page and for bin/status."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from consumer.daemon.page.amounts import duration, number
from consumer.daemon.page.told import Shard, Told

CATCHING_UP = "catching up"


class Tone(StrEnum):
    """How a state looks: a mark and a colour."""

    WELL = "well"
    WATCH = "watch"
    ILL = "ill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`state` is one word, `todo` empty when there is nothing to do. `runbook` is the heading of docs/runbook.md that
    says more."""

    state: str
    tone: Tone
    says: str
    todo: str = ""
    runbook: str | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """Reasons that hold `told` mean this state."""

    told: str
    verdict: Verdict


_HELD = Verdict(
    state="held",
    tone=Tone.ILL,
    says="Delivery is held: too many records would become dead letters.",
    todo="Look at the reason below. Mend the producer or the schema; or let them become dead letters:"
    " deadletter.max_ratio = 1, and a restart.",
    runbook="held",
)
_STUCK = Verdict(
    state="stuck",
    tone=Tone.ILL,
    says="A shard process does not answer.",
    todo="Restart the daemon. Nothing is lost: its shards are read again from their checkpoints.",
    runbook="stuck",
)
UNREAD = Verdict(
    state="stuck",
    tone=Tone.ILL,
    says="There are shards that nobody reads.",
    todo="See that every worker runs, and what the KCL complains of below.",
    runbook="unread",
)
_WAITING = Verdict(
    state="lagging",
    tone=Tone.ILL,
    says="Records wait too long for the backend. Nothing is lost: what fails is tried again until it is taken.",
    todo="Mend what an error below names. Without one the backend is slow: wait, or give it a higher quota.",
    runbook="waiting",
)
_LAGGING = Verdict(
    state="lagging",
    tone=Tone.ILL,
    says="The backend takes less than the stream brings.",
    todo="Give it more: workers, shards, or a higher quota of the backend.",
    runbook="lagging",
)
_OTHER = Verdict(state="unwell", tone=Tone.ILL, says="Something is wrong.", todo="Read the reasons below.")
_KINDS = (
    _Kind(": held: ", _HELD),
    _Kind("no word from its process", _STUCK),
    _Kind("not read for", UNREAD),
    _Kind("no shard has been opened", UNREAD),
    _Kind("lease table", UNREAD),
    _Kind("a record has waited", _WAITING),
    _Kind("does not catch up", _LAGGING),
)
"""The first that fits counts: what only a person ends comes before what may end by itself."""

_PREPARING = Verdict(
    state="preparing", tone=Tone.WATCH, says="The daemon is starting: it looks at the stream and the backend."
)
_BLOCKED = Verdict(
    state="setup-blocked",
    tone=Tone.ILL,
    says="The daemon cannot begin.",
    todo="Mend what is named below; it then begins by itself. bin/check says more.",
    runbook="setup-blocked",
)
_UNPREPARED = Verdict(
    state="preparing",
    tone=Tone.ILL,
    says="The daemon is still starting: something that it needs does not answer or is not ready.",
    todo="The log says what is waited for, and bin/check asks for everything at once.",
    runbook="preparing",
)
_REFUSED = Verdict(
    state="setup-blocked",
    tone=Tone.WATCH,
    says="The backend refuses what someone has to mend. Nothing is lost: it is tried again until then.",
    todo="Mend what the error below names: a permission, a bucket or a table.",
    runbook="waiting",
)
_RESTARTING = Verdict(
    state="restarting",
    tone=Tone.ILL,
    says="The JVM has ended, and is started again by itself.",
    todo="Wait a minute. If it comes again, look into kcl.log in the state directory.",
    runbook="restarting",
)
_DRAINING = Verdict(
    state="draining",
    tone=Tone.WATCH,
    says="The daemon ends in order: it delivers what it has read, and reads no more.",
)
DOWN = Verdict(
    state="down",
    tone=Tone.ILL,
    says="No worker runs. Nothing is lost until the stream's retention has passed.",
    todo="Start it: bin/start, systemctl start, or the ECS service.",
    runbook="down",
)

_PAUSED = Verdict(
    state="paused",
    tone=Tone.WATCH,
    says="Somebody has paused the application: it takes no records until it is resumed.",
    todo="bin/resume, before freshness comes near the stream's retention.",
    runbook="paused",
)

VERDICTS = (
    *(kind.verdict for kind in _KINDS),
    *(_OTHER, _PREPARING, _BLOCKED, _UNPREPARED, _REFUSED, _RESTARTING, _DRAINING, DOWN, _PAUSED),
)


def verdict_of(told: Told) -> Verdict:
    """Of a daemon, with the word that it has for itself, unless that is "lagging" of one that catches up."""
    verdict = _verdict_of(told)
    if told.state is None or verdict.state == CATCHING_UP:
        return verdict
    return replace(verdict, state=told.state)


def ranked_reasons(told: Told) -> list[str]:
    """What is wrong with a daemon; what its verdict is about comes first."""
    return sorted(told.reasons, key=_rank) if told.phase == "running" else list(told.reasons)


def _rank(reason: str) -> int:
    return next((place for place, kind in enumerate(_KINDS) if kind.told in reason), len(_KINDS))


def _verdict_of(told: Told) -> Verdict:
    if told.phase == "preparing":
        if any("not prepared after" in reason for reason in told.reasons):
            return _UNPREPARED
        return _BLOCKED if told.reasons else _PREPARING
    if told.phase == "restarting":
        return _RESTARTING
    if told.phase == "stopping":
        return _DRAINING
    if not told.healthy or told.reasons:
        fitting = (kind.verdict for kind in _KINDS if any(kind.told in reason for reason in told.reasons))
        return next(fitting, _OTHER)
    return _PAUSED if told.state == "paused" else _well(told)


def _well(told: Told) -> Verdict:
    if not told.shards:
        return Verdict(
            state="running", tone=Tone.WELL, says="All is well. This worker has no shard: others read them."
        )
    if told.state == _BLOCKED.state:
        return _REFUSED
    many = "1 shard is" if len(told.shards) == 1 else f"{number(len(told.shards))} shards are"
    if any(shard.catching_up for shard in told.shards):
        behind = duration(told.freshness_seconds or 0)
        return Verdict(
            state=CATCHING_UP,
            tone=Tone.WATCH,
            says=f"All is well: {behind} behind, and catching up.",
        )
    if any(shard.retrying for shard in told.shards):
        return Verdict(
            state="running",
            tone=Tone.WATCH,
            says="Well so far: something failed, and is tried again. Nothing is lost.",
            todo="Nothing yet; the error stands below.",
        )
    return Verdict(state="running", tone=Tone.WELL, says=f"All is well: {many} being delivered.")


def state_of(told: Told, shard: Shard) -> tuple[str, Tone]:
    """Of one shard."""
    for reason in told.reasons_of(shard.shard):
        for kind in _KINDS:
            if kind.told in f": {reason}":
                return shard.condition or kind.verdict.state, kind.verdict.tone
    if shard.retrying is not None:
        return "retrying", Tone.WATCH
    if shard.catching_up:
        return CATCHING_UP, Tone.WATCH
    if shard.condition == "paused":
        return shard.condition, Tone.WATCH
    return shard.condition or shard.state, Tone.WELL
