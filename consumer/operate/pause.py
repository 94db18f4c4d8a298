"""`pause BACKEND` and `resume BACKEND`: all workers of an application take no more records, and go on.

Leases stay with the workers that have them, and what was taken is delivered; a worker that starts meanwhile is paused
from its first moment. The other backend goes on: it is another application.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from consumer.daemon.commands.arguments import FindEmbedded
from consumer.daemon.prepare.lease_table import lease_reader
from consumer.daemon.prepare.pause_flag import PauseFlag
from consumer.daemon.report.pause import Pause, Paused
from consumer.operate.action import EXIT_FAILED, Action, action_parser, run_action, user_and_host
from consumer.operate.errors import Refused
from consumer.operate.moments import written
from consumer.operate.progress import Progress
from consumer.settings import Settings

_STOP_SECONDS = 60.0
"""For all workers to say that they have stopped; a worker that lives does so within about five seconds."""
_LOOK_SECONDS = 0.5


def pause_main(arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None) -> int:
    """Runs `pause`; returns 0 when every worker with a lease has stopped taking records, 1 when one has not said so."""
    return run_action("pause", _parser("pause").parse_args(arguments), find_embedded, pause)


def resume_main(arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None) -> int:
    """Runs `resume`; returns 0 when nothing keeps the application from going on."""
    return run_action("resume", _parser("resume").parse_args(arguments), find_embedded, resume)


def pause(
    action: Action,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    flag = PauseFlag(action.settings)
    before = flag.read(consistent=True)
    if before is not None:
        action.console.say(f"{action.application} is paused already, by {_of(before.pause)}")
        return _wait(action, flag, before.pause, monotonic, sleep)[1]
    workers = _workers(action.settings)
    entry = action.approved(
        f"pause {action.application}: no more records are taken by {_count(len(workers))} with leases",
        {"workers": len(workers)},
    )
    if entry is None:
        return 0
    now_ms = int(action.now.timestamp() * 1000)
    asked = Pause(who=action.options.who or user_and_host(), why=action.options.why, at_ms=now_ms)
    flag.set(asked)
    paused = flag.read(consistent=True)  # somebody else's, where that came first
    stopped, code = _wait(action, flag, asked if paused is None else paused.pause, monotonic, sleep)
    entry.end("done", {"workers": len(workers), "stopped": stopped})
    return code


def resume(action: Action) -> int:
    flag = PauseFlag(action.settings)
    paused = flag.read(consistent=True)
    if paused is None:
        action.console.say(f"{action.application} is not paused")
        return 0
    entry = action.approved(
        f"let {action.application} go on, which {_of(paused.pause)} has paused",
        {"workers": len(paused.stopped)},
    )
    if entry is None:
        return 0
    flag.clear()
    entry.end("done", {"workers": len(paused.stopped)})
    action.console.say(f"{action.application} goes on: its workers take records again within seconds")
    return 0


def _wait(
    action: Action,
    flag: PauseFlag,
    pause: Pause,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
) -> tuple[int, int]:
    """Until every worker that has a lease has stopped; how many have, and the exit code."""
    with action.progress("workers") as progress:
        return _waited(action, flag, pause, progress, monotonic, sleep)


def _waited(
    action: Action,
    flag: PauseFlag,
    pause: Pause,
    progress: Progress,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
) -> tuple[int, int]:
    began = monotonic()
    told = -1
    while True:
        now: Paused | None = flag.read(consistent=True)
        if now is None or now.pause != pause:
            raise Refused(f"{action.application} was let go on meanwhile")
        workers = _workers(action.settings)
        stopped = [worker for worker in workers if worker in now.stopped]
        if len(stopped) != told:
            told = len(stopped)
            action.console.say(f"{told} of {_count(len(workers))} with leases have stopped taking records")
            progress.step(f"waiting for {', '.join(sorted(set(workers) - set(stopped)))}")
        if len(stopped) == len(workers):
            action.console.say(
                f"{action.application} is paused; bin/resume {action.settings.backend} lets it go on"
            )
            return told, 0
        if monotonic() - began > _STOP_SECONDS:
            late = ", ".join(sorted(set(workers) - set(stopped)))
            action.console.say(
                f"the pause is set, but these workers have not said that they stopped: {late}. One that is down takes"
                " no record until it starts again, and stays paused then; look at the log of one that runs"
            )
            return told, EXIT_FAILED
        sleep(_LOOK_SECONDS)


def _workers(settings: Settings) -> list[str]:
    """Those that have a lease of a shard that was not read to its end."""
    leases = lease_reader(settings)()
    return sorted({lease.owner for lease in leases if lease.owner is not None and not lease.ended})


def _of(pause: Pause) -> str:
    since = written(datetime.fromtimestamp(pause.at_ms / 1000, UTC))
    return f"{pause.who} since {since}{f' ({pause.why})' if pause.why else ''}"


def _count(workers: int) -> str:
    return f"{workers} worker{'' if workers == 1 else 's'}"


def _parser(command: str) -> argparse.ArgumentParser:
    return action_parser(command, _DESCRIPTIONS[command], why=("--reason", "--why"))


_DESCRIPTIONS = {
    "pause": "All workers of the backend's application take no more records, on every host, until `resume`. They keep"
    " their leases, deliver what they hold, and stay paused over restarts.",
    "resume": "Ends a pause: all workers take records again, from where they stopped.",
}
