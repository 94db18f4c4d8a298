"""Picks the command named by the first argument; each command owns its options and its `--help`."""

import argparse
import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer import __version__

if TYPE_CHECKING:
    from consumer.daemon.commands.arguments import Embedded


@dataclass(frozen=True, slots=True)
class Command:
    """A command by the place of its entry point, `module:function`, imported only when it is used."""

    summary: str
    entry: str

    def load(self) -> Callable[[Sequence[str]], int]:
        """The entry point: takes the arguments behind the command's name and returns the exit code."""
        module, _, function = self.entry.partition(":")
        loaded: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), function)
        return loaded


COMMANDS = {
    "start": Command("deliver a stream to a backend (s3 or bigquery)", "consumer.cli:start"),
    "check": Command("check a backend's settings, then what they point to", "consumer.cli:check"),
    "status": Command("show how an application fares on all hosts", "consumer.cli:status"),
    "health": Command("ask the daemons that run here", "consumer.daemon.commands.health:health_main"),
    "deadletters": Command("list, redrive or discard dead letters", "consumer.cli:deadletters"),
    "tap": Command("show a sample of the records that pass, and where they go", "consumer.cli:tap"),
    "replay": Command("deliver a range of time of the stream once more", "consumer.cli:replay"),
    "transform": Command("try a transform on a file of records", "consumer.cli:transform"),
    "pause": Command("let an application take no more records", "consumer.cli:pause"),
    "resume": Command("let a paused application go on", "consumer.cli:resume"),
    "reconcile": Command("compare what S3 and BigQuery hold", "consumer.cli:reconcile"),
    "athena-ddl": Command("say how Athena reads the objects, and tell Glue", "consumer.cli:athena_ddl"),
    "compact": Command("rewrite the objects of closed days as large ones", "consumer.cli:compact"),
    "checkpoint": Command("show or move where an application goes on", "consumer.cli:checkpoint"),
    "local": Command("run the embedded AWS and BigQuery", "consumer.local.commands:local_main"),
    "put": Command("put records on a stream", "consumer.local.commands:put_main"),
    "demo": Command(
        "deliver records through everything and verify them", "consumer.local.commands:demo_main"
    ),
}
_EMBEDDED_STACK = "consumer.local"
"""Not in the image: nothing that the daemon needs at work."""


def offered() -> dict[str, Command]:
    """The commands that can run here, by name."""
    has_stack = importlib.util.find_spec(_EMBEDDED_STACK) is not None
    return {
        name: command
        for name, command in COMMANDS.items()
        if has_stack or not command.entry.startswith(_EMBEDDED_STACK)
    }


def main(arguments: Sequence[str]) -> int:
    """Runs a command and returns its exit code; wrong usage ends with code 2, as argparse does."""
    commands = offered()
    options = _parser(commands).parse_args(arguments[:1])
    return commands[options.command].load()(arguments[1:])


def start(arguments: Sequence[str]) -> int:
    from consumer.daemon.commands.start import start_main

    return start_main(arguments, find_embedded=_find_embedded)


def check(arguments: Sequence[str]) -> int:
    from consumer.daemon.commands.check import check_main

    return check_main(arguments, find_embedded=_find_embedded)


def deadletters(arguments: Sequence[str]) -> int:
    from consumer.operate.dead_letters.command import deadletters_main

    return deadletters_main(arguments, find_embedded=_find_embedded)


def tap(arguments: Sequence[str]) -> int:
    from consumer.operate.tap.command import tap_main

    return tap_main(arguments, find_embedded=_find_embedded)


def replay(arguments: Sequence[str]) -> int:
    from consumer.operate.replay.command import replay_main

    return replay_main(arguments, find_embedded=_find_embedded)


def transform(arguments: Sequence[str]) -> int:
    from consumer.daemon.commands.transform import transform_main

    return transform_main(arguments, find_embedded=_find_embedded)


def pause(arguments: Sequence[str]) -> int:
    from consumer.operate.pause import pause_main

    return pause_main(arguments, find_embedded=_find_embedded)


def resume(arguments: Sequence[str]) -> int:
    from consumer.operate.pause import resume_main

    return resume_main(arguments, find_embedded=_find_embedded)


def reconcile(arguments: Sequence[str]) -> int:
    from consumer.operate.reconcile.command import reconcile_main

    return reconcile_main(arguments, find_embedded=_find_embedded)


def compact(arguments: Sequence[str]) -> int:
    from consumer.operate.compact.command import compact_main

    return compact_main(arguments, find_embedded=_find_embedded)


def checkpoint(arguments: Sequence[str]) -> int:
    from consumer.operate.checkpoint.command import checkpoint_main

    return checkpoint_main(arguments, find_embedded=_find_embedded)


def athena_ddl(arguments: Sequence[str]) -> int:
    from consumer.operate.catalogue.command import athena_ddl_main

    return athena_ddl_main(arguments, find_embedded=_find_embedded)


def status(arguments: Sequence[str]) -> int:
    from consumer.daemon.commands.status import status_main

    return status_main(arguments, find_embedded=_find_embedded)


def _find_embedded(backend: str) -> "Embedded":
    """The embedded stack behind `--local`: the daemon itself knows nothing of that stack."""
    from consumer.daemon.commands.arguments import Embedded
    from consumer.daemon.errors import StartFailed

    if importlib.util.find_spec(_EMBEDDED_STACK) is None:
        raise StartFailed(
            "--local: the embedded stack is not part of this image; run bin/local from a checkout"
        )
    from consumer.local import stack

    try:
        running = stack.load()
    except stack.StackNotRunningError as error:
        raise StartFailed(f"--local: {error}") from error
    return Embedded(
        overrides=stack.overrides(running, backend), environment=stack.environment(running, backend)
    )


def _parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    width = max(map(len, commands))
    listed = "\n".join(f"  {name:{width}}  {command.summary}" for name, command in commands.items())
    parser = argparse.ArgumentParser(
        prog="consumer",
        description="Delivers a Kinesis stream of player logs to S3 and BigQuery.",
        epilog=f"commands (each answers --help):\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"consumer {__version__}")
    parser.add_argument("command", choices=commands, metavar="COMMAND", help="one of those below")
    return parser
