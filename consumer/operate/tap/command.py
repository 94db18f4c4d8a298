"""`tap BACKEND`: shows a sample of the records that the daemons of this host deliver, and where each of them went."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from consumer.daemon.commands.arguments import (
    FindEmbedded,
    add_settings_options,
    find_embedded_stack,
    properties_of,
)
from consumer.daemon.commands.running import Running, running
from consumer.daemon.errors import StartFailed
from consumer.domain.taps import MOST_RATE, Allowance, Sample
from consumer.operate.errors import Refused
from consumer.operate.moments import duration
from consumer.operate.tap.listening import Tap, listening
from consumer.operate.tap.showing import Showing
from consumer.settings import PROJECT_ROOT, look_up

EXIT_FAILED = 1

_RENEW_SECONDS = 2.0
_QUIET_SECONDS = 10.0
"""Without a record for so long, it is told why there may be none."""


type Wait = Callable[[Sequence[Tap], float], Sequence[Tap]]
"""Blocks for so many seconds at most; those that have heard something."""


def _ready(taps: Sequence[Tap], seconds: float) -> Sequence[Tap]:
    return select.select(taps, [], [], seconds)[0]


def tap_main(
    arguments: Sequence[str],
    *,
    find_embedded: FindEmbedded | None = None,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    wait: Wait = _ready,
) -> int:
    """Returns 0 when it has listened as long as it was to, or was interrupted; 1 when no daemon runs here, this user
    may not listen, or the daemon has ended; 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        daemons, still_run = _found(options, find_embedded)
        with ExitStack() as stack:
            taps = [stack.enter_context(listening(daemon, now=now)) for daemon in daemons]
            watch = _Watch(taps, options, still_run, monotonic, wait)
            with _interrupted_in_order():
                return watch.run()
    except StartFailed as error:
        _say("\n".join(error.messages))
    except Refused as error:
        _say(f"tap: {error}")
    except OSError as error:
        _say(f"tap: {error.filename}: {error.strerror}")
    return EXIT_FAILED


class _Watch:
    """Listens, and prints."""

    def __init__(
        self,
        taps: Sequence[Tap],
        options: argparse.Namespace,
        still_run: Callable[[], set[Path]],
        monotonic: Callable[[], float],
        wait: Wait,
    ) -> None:
        self._taps = list(taps)
        self._options = options
        self._still_run = still_run
        self._monotonic = monotonic
        self._wait = wait
        self._allowance = Allowance(options.rate, monotonic)
        self._showing = Showing(mask=options.mask)
        self._began = self._heard_at = monotonic()
        self._renewed_at: float | None = None
        self._shown = self._passed = 0

    def run(self) -> int:
        """Returns the exit code."""
        code = 0
        try:
            code = self._listen()
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:  # of head, which has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say(f"{self._shown:,} shown of {self._passed:,} records that passed")
        return code

    def _listen(self) -> int:
        while not self._is_over():
            if self._renewed_at is None or self._monotonic() - self._renewed_at >= _RENEW_SECONDS:
                if not self._renewed():
                    return EXIT_FAILED
                self._tell_of_quiet()
            for tap in self._wait(self._taps, self._seconds()):
                for heard in tap.heard():
                    self._heard_at = self._monotonic()
                    self._passed += heard.passed
                    for sample in heard.samples:
                        if not self._is_over() and self._allowance.take(1):
                            self._show(tap, heard.shard, sample)
        return 0

    def _is_over(self) -> bool:
        options = self._options
        if options.limit is not None and self._shown >= options.limit:
            return True
        return options.seconds is not None and self._monotonic() - self._began >= options.seconds

    def _seconds(self) -> float:
        """Until there is something to do unless something is heard."""
        left = [_RENEW_SECONDS]
        if self._options.seconds is not None:
            left.append(self._began + self._options.seconds - self._monotonic())
        return max(0.0, min(left))

    def _renewed(self) -> bool:
        """Whether a daemon is left to listen to."""
        running_now = self._still_run()
        for tap in [*self._taps]:
            if tap.daemon.directory in running_now:
                tap.ask(rate=self._options.rate, shards=self._options.shard)
            else:
                _say(f"{tap.application} has ended")
                self._taps.remove(tap)
        self._renewed_at = self._monotonic()
        return bool(self._taps)

    def _tell_of_quiet(self) -> None:
        quiet = self._monotonic() - self._heard_at
        if quiet < _QUIET_SECONDS:
            return
        self._heard_at = self._monotonic()
        for tap in self._taps:
            window = tap.daemon.settings.seconds("chunk.window")
            _say(
                f"nothing has passed for {quiet:.0f} s; {tap.application} is {_state(tap.daemon.directory)}. A record"
                f" shows once its chunk is durable, {window:g} s (chunk.window) after its arrival or later;"
                " bin/status says more"
            )

    def _show(self, tap: Tap, shard: str, sample: Sample) -> None:
        self._shown += 1
        if self._options.json:
            text = self._showing.as_json(tap.application, shard, sample)
        else:
            text = "\n".join(self._showing.lines(shard, sample))
        print(text, flush=True)


def _found(
    options: argparse.Namespace, find_embedded: FindEmbedded | None
) -> tuple[list[Running], Callable[[], set[Path]]]:
    """The daemons of one application on this host, and what tells where daemons still run. Raises Refused and
    StartFailed."""
    embedded = find_embedded_stack(options, find_embedded)
    given = {**embedded.overrides, **dict(options.set)}
    file = properties_of(options)
    text = given.get("worker.state_dir") or look_up(
        options.backend, "worker.state_dir", file=file, environment=os.environ
    )
    state_dir = PROJECT_ROOT / str(text)
    found = [one for one in running(state_dir) if one.settings.backend == options.backend]
    wanted = given.get("applicationName")
    names = sorted({one.settings.text("applicationName") for one in found})
    if wanted is not None:
        names = [name for name in names if name == wanted]
    if not names:
        _refuse_foreign(state_dir)
        raise Refused(f"no daemon of {wanted or options.backend} runs from {state_dir}")
    if len(names) > 1:
        raise Refused(f"choose one by --set applicationName=NAME: {', '.join(names)} run from {state_dir}")
    daemons = [one for one in found if one.settings.text("applicationName") == names[0]]
    _become_owner_of(daemons[0].directory)
    return daemons, lambda: {one.directory for one in running(state_dir)}


def _become_owner_of(directory: Path) -> None:
    """What root makes there, the daemon's own user cannot look at; and no other right is needed."""
    found = directory.stat()
    if os.geteuid() == 0 and found.st_uid != 0:
        os.setgroups([])
        os.setgid(found.st_gid)
        os.setuid(found.st_uid)


def _refuse_foreign(state_dir: Path) -> None:
    """Raises Refused where it cannot be seen whether a daemon runs."""
    try:
        below = [*state_dir.iterdir()]
    except FileNotFoundError:
        return
    except PermissionError:
        below = []
    for path in [state_dir, *below]:
        if path.is_dir() and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise Refused(
                f"{path} belongs to user {path.stat().st_uid}: a tap shows records, so that user alone may listen,"
                " and root"
            )


def _state(directory: Path) -> str:
    """In a word, as the daemon has last written it."""
    try:
        return msgspec.json.decode((directory / "status.json").read_bytes(), type=_Status).state
    except (OSError, msgspec.MsgspecError):
        return "starting"


class _Status(msgspec.Struct):
    state: str


@contextmanager
def _interrupted_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP within the block end it as SIGINT does, so that nothing is left behind."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value <= MOST_RATE:
        raise ValueError
    return value


def _limit(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _seconds(text: str) -> float:
    return duration(text).total_seconds()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tap",
        description="Shows a sample of the records that the daemons of this host deliver, as they become durable, and"
        " where each of them went: an object, a table, or the dead letters with a reason. Delivery waits for nobody who"
        " listens; what is not taken in time is left out. Ends with Ctrl-C.",
    )
    add_settings_options(parser)
    parser.add_argument(
        "--shard", action="append", default=[], metavar="ID", help="of this shard; repeatable"
    )
    parser.add_argument(
        "--rate", type=_rate, default=10.0, metavar="N", help=f"records a second (10; {MOST_RATE:g} at most)"
    )
    parser.add_argument(
        "--mask", action="store_true", help="replace the values in payloads, keep their structure"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object a record")
    parser.add_argument(
        "--for", dest="seconds", type=_seconds, metavar="TIME", help="end after this time: 30s, 5m, 1h"
    )
    parser.add_argument("--limit", type=_limit, metavar="N", help="end after so many records")
    return parser
