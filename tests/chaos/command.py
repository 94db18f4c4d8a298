"""`bin/chaos`: faults at random under a steady feed; afterwards nothing may be lost or doubled."""

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from consumer.local.backends import BACKENDS, BackendError
from consumer.local.child import ChildError
from consumer.local.demo import add_method, setting
from consumer.local.faults.control import ControlError
from consumer.local.limits import options as limit_options
from consumer.local.stack import StackRunningError
from consumer.operate.progress import Teller
from consumer.settings import SettingsError
from tests.chaos import report
from tests.chaos.catalogue import KINDS, Kind
from tests.chaos.hostile import hostile_records
from tests.chaos.isolation import Isolation, run_isolation
from tests.chaos.journal import Fed, records
from tests.chaos.plan import Options, Planned, lines, plan
from tests.chaos.run import ChaosError, Conditions, Ending, prepared, run
from tests.chaos.world import settings_of

_NOT_CLEAN = "not-clean"
_MOST_CALM_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Feed:
    """Records by a seed, and the settings that they need."""

    records: Callable[[int], Iterator[Fed]]
    settings: Mapping[str, str] = field(default_factory=dict)


_USUAL = _Feed(records)
_HOSTILE = _Feed(hostile_records, {"deadletter.max_ratio": "1"})
"""So many dead letters would hold a shard."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/chaos",
        description="Runs both backends on the embedded stack under a steady feed, with faults drawn by a seed, and"
        " compares what the backends hold with what was put. Exit code 0 only if every acknowledged record is"
        " there exactly once and nothing else is.",
        epilog=f"kinds of fault: {', '.join(kind.name for kind in KINDS)}",
    )
    parser.add_argument("--faults", type=int, default=10, metavar="N", help="how many (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of plan and feed (default 1)")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="X",
        help="multiplies durations and pauses (default 1: outages of about 12 s; 5 for a minute)",
    )
    parser.add_argument(
        "--only",
        type=_kinds,
        default=KINDS,
        metavar="KIND[,KIND...]",
        help="draw from these kinds only",
    )
    parser.add_argument("--rate", type=float, default=200, metavar="R", help="records a second (default 200)")
    parser.add_argument("--shards", type=int, default=2, metavar="N", help="at the start (default 2)")
    parser.add_argument(
        "--set",
        type=setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting for the backends that know it; repeatable",
    )
    add_method(parser)
    limit_options.add_options(parser)
    parser.add_argument(
        "--hostile",
        action="store_true",
        help="one record in ten is made to break who reads it: each of them has to be delivered or to become a dead"
        " letter, as is right for its kind, and with the same verdict every time",
    )
    parser.add_argument(
        "--isolation",
        action="store_true",
        help="no faults at random: each backend refuses everything for a while, and the other one is measured",
    )
    parser.add_argument(
        "--outage",
        type=float,
        default=120,
        metavar="S",
        help="with --isolation: seconds (default 120)",
    )
    parser.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--keep-logs", action="store_true", help="leave the logs also after a clean run")
    parser.add_argument("--json", action="store_true", help="the summary as JSON, last line of stdout")
    return parser


def _kinds(text: str) -> tuple[Kind, ...]:
    """Kinds of fault by their names."""
    known = {kind.name: kind for kind in KINDS}
    try:
        return tuple(known[name] for name in text.split(","))
    except KeyError as error:
        raise argparse.ArgumentTypeError(
            f"{error.args[0]!r} is no kind of fault; there are {', '.join(known)}"
        ) from None


def chaos_main(argv: Sequence[str]) -> int:
    """Exit 0 if clean, 1 if not or if the run failed, 2 for wrong options, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    options = Options(
        seed=arguments.seed,
        faults=arguments.faults,
        scale=arguments.scale,
        shards=arguments.shards,
        kinds=arguments.only,
    )
    planned = [] if arguments.isolation else plan(options)
    if planned:
        out = sys.stderr if arguments.json else sys.stdout
        print("\n".join(["the plan, from the first delivery on:", *lines(planned)]), file=out, flush=True)
    if arguments.plan:
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    progress = Teller(sys.stderr)
    try:
        with _directory(arguments, progress) as directory:
            return _chaos(arguments, planned, directory, progress)
    except KeyboardInterrupt:
        progress.say("stopped; nothing is left running")
        return 130
    except SettingsError as error:
        for finding in error.findings:
            print(f"bin/chaos: {finding.key}: {finding.message}", file=sys.stderr)
        return 2
    except (BackendError, ChaosError, ChildError, ControlError, StackRunningError, OSError) as error:
        print(f"bin/chaos: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _directory(arguments: argparse.Namespace, progress: Teller) -> Iterator[Path]:
    """A folder of this run, which a clean end takes along."""
    directory = Path(tempfile.mkdtemp(prefix="consumer-chaos-"))
    try:
        yield directory
    except KeyboardInterrupt:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    except BaseException:
        progress.say(f"logs are in {directory}")
        raise
    if arguments.keep_logs or (directory / _NOT_CLEAN).exists():
        progress.say(f"logs are in {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)


def _chaos(arguments: argparse.Namespace, planned: list[Planned], directory: Path, progress: Teller) -> int:
    feed = _HOSTILE if arguments.hostile else _USUAL
    conditions = Conditions(
        records=feed.records(arguments.seed),
        rate=arguments.rate,
        shards=arguments.shards,
        chosen=settings_of({**feed.settings, **dict(arguments.set)}),
        limits=limit_options.chosen(arguments),
    )
    progress.say(f"starting AWS and BigQuery on loopback, {' and '.join(BACKENDS)} on them")
    with prepared(directory, conditions, progress) as (world, holdings), _plain_errors():
        if arguments.isolation:
            measuring = run_isolation(
                world,
                holdings,
                conditions,
                progress,
                outage_seconds=arguments.outage,
                calm_seconds=min(arguments.outage / 2, _MOST_CALM_SECONDS),
            )
            isolations, ending = asyncio.run(measuring)
        else:
            isolations, ending = [], asyncio.run(run(world, holdings, planned, conditions, progress))
    _tell(arguments, isolations, ending, progress.seconds())
    clean = ending.clean and all(one.holds for one in isolations)
    if not clean:
        (directory / _NOT_CLEAN).touch()
    return 0 if clean else 1


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """The first of the errors that a group of tasks has ended with."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


def _tell(arguments: argparse.Namespace, isolations: list[Isolation], ending: Ending, seconds: float) -> None:
    out = sys.stderr if arguments.json else sys.stdout
    if isolations:
        print(f"\n{report.isolation_table(isolations)}", file=out)
    print(f"\n{report.table(ending, seconds=seconds)}", file=out, flush=True)
    if arguments.json:
        found = report.summary(ending, seed=arguments.seed, faults=len(ending.happened), seconds=seconds)
        print(json.dumps(found | {"isolation": report.isolation_summary(isolations)}), flush=True)
