"""The frame of a command that changes something of an application: its options, its questions, how it ends.

Exit codes: 0 when it did what was asked (or `--dry-run` has said what that is), 1 when it refused or failed, 2 for
wrong usage or settings that cannot be used.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from consumer.daemon.commands.arguments import (
    FindEmbedded,
    add_settings_options,
    find_embedded_stack,
    load_settings,
)
from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.preparation import Trouble
from consumer.daemon.prepare.proxies import exempt_metadata
from consumer.domain.errors import DeliveryError
from consumer.operate.audit import Audit, AuditLine, AuditPlace
from consumer.operate.errors import Refused
from consumer.operate.moments import written
from consumer.operate.progress import Progress, clear
from consumer.settings import Backend, Settings, SettingsError
from consumer.sinks.aws import AWS_ERRORS, delivery_error, s3_client_of

EXIT_FAILED = 1
EXIT_USAGE = 2


def action_parser(
    command: str, description: str, *, why: Sequence[str] = ("--why",), only: Backend | None = None
) -> argparse.ArgumentParser:
    """With the options of the settings, and those of every change; `why` are the names of the option for the
    reason that the audit tells, `only` is the backend of a command that knows one."""
    parser = argparse.ArgumentParser(prog=command, description=description)
    add_settings_options(parser, only=only)
    change = parser.add_argument_group("what is changed")
    change.add_argument(
        "--dry-run", action="store_true", help="say what would be changed, and change nothing"
    )
    change.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")
    change.add_argument("--who", default=None, metavar="NAME", help="for the audit (default: user@host)")
    change.add_argument(*why, dest="why", default="", metavar="TEXT", help="why, for the audit")
    return parser


def user_and_host() -> str:
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as containers have them
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@dataclass(slots=True)
class Console:
    """Where a command asks and tells what it does; results go to stdout."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    answers: TextIO = field(default_factory=lambda: sys.stdin)

    def say(self, line: str) -> None:
        print(f"{clear(self.out)}{line}", file=self.out, flush=True)

    def agrees(self, question: str) -> bool:
        """Asks. Raises Refused where there is nobody to ask."""
        if not (self.out.isatty() and self.answers.isatty()):
            raise Refused(
                f"{question} Nothing was changed: there is no terminal to ask on, so --yes is needed"
            )
        print(f"{question} [y/N] ", end="", file=self.out, flush=True)
        return self.answers.readline().strip().lower() in ("y", "yes")


@dataclass(slots=True, kw_only=True)
class Action:
    """One run of a command. `s3` is an S3 client of boto3 that makes one attempt a call."""

    command: str
    options: argparse.Namespace
    settings: Settings
    s3: Any
    console: Console
    now: datetime
    stopping: bool = False
    """Set by the first SIGINT or SIGTERM within `in_order`."""

    @property
    def application(self) -> str:
        return self.settings.text("applicationName")

    def approved(self, what: str, counts: Mapping[str, int]) -> Audit | None:
        """The audit's entry, which is written by then; None with `--dry-run`. `what` begins with a verb: "discard 3
        dead letters". Raises Refused where nobody agrees, or the audit cannot be written."""
        if self.options.dry_run:
            self.console.say(f"dry run, nothing was changed: {self.command} would {what}")
            return None
        if not self.options.yes and not self.console.agrees(f"{what[:1].upper()}{what[1:]}?"):
            raise Refused("nothing was changed")
        line = AuditLine(
            at=written(self.now),
            command=self.command,
            application=self.application,
            backend=self.settings.backend,
            who=self.options.who or user_and_host(),
            reason=self.options.why,
            what=what,
            state="begun",
            counts=counts,
        )
        return Audit.begin(AuditPlace.of(self.settings, self.s3), line, self.console.say, now=self.now)

    def command_line(self, command: str, *arguments: str) -> str:
        """To be copied: another command with the settings that this one was given."""
        options = self.options
        chosen = [f"--set={key}={value}" for key, value in options.set]
        if options.properties:
            chosen.insert(0, f"--properties={options.properties}")
        if options.local:
            chosen.insert(0, "--local")
        return shlex.join([f"bin/{command}", options.backend, *arguments[:1], *chosen, *arguments[1:]])

    def progress(self, what: str, total: int | None = None) -> Progress:
        return Progress(self.console.out, what, total=total)

    @contextmanager
    def in_order(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM inside sets `stopping`, so that what has begun is finished; the second one
        interrupts."""

        def stop(number: int, frame: object) -> None:
            if self.stopping:
                raise KeyboardInterrupt
            self.stopping = True
            self.console.say("stopping when what has begun is finished; once more to stop at once")

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_action(
    command: str,
    options: argparse.Namespace,
    find_embedded: FindEmbedded | None,
    act: Callable[[Action], int],
    *,
    console: Console | None = None,
    now: Callable[[], float] = time.time,
    new_client: Callable[[Settings], Any] = s3_client_of,
) -> int:
    """Runs `act` with the settings that the options name, and returns the exit code. What it raises of Refused,
    DeliveryError and Trouble is told in one line."""
    console = console or Console()
    try:
        embedded = find_embedded_stack(options, find_embedded)
        settings = load_settings(options, embedded)
        os.environ.update(embedded.environment)
        os.environ.update(exempt_metadata(os.environ))
        action = Action(
            command=command,
            options=options,
            settings=settings,
            s3=_client(new_client, settings),
            console=console,
            now=datetime.fromtimestamp(now(), UTC),
        )
        return act(action)
    except SettingsError as error:
        console.say("\n".join(map(str, error.findings)))
        return EXIT_USAGE
    except StartFailed as error:
        console.say("\n".join(error.messages))
    except (Refused, DeliveryError, Trouble) as error:
        console.say(f"{command}: {error}")
    return EXIT_FAILED


def _client(new_client: Callable[[Settings], Any], settings: Settings) -> Any:
    """Raises DeliveryError, as for a profile that is not there."""
    try:
        return new_client(settings)
    except AWS_ERRORS as error:
        raise delivery_error(error, setting="s3.endpoint_url") from error
