"""`reconcile --from TIME`: says what one backend holds and the other does not, and what either holds twice."""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from consumer.daemon.commands.arguments import (
    FindEmbedded,
    assignment,
    default_properties,
    find_embedded_stack,
)
from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.preparation import Trouble
from consumer.daemon.prepare.proxies import exempt_metadata
from consumer.domain.errors import DeliveryError
from consumer.operate.action import EXIT_FAILED, EXIT_USAGE, Console
from consumer.operate.errors import Refused
from consumer.operate.moments import moment, span
from consumer.operate.progress import Progress
from consumer.operate.reconcile import report
from consumer.operate.reconcile.look import Result
from consumer.operate.reconcile.monitor import Monitor
from consumer.operate.reconcile.reconciliation import Reconciliation
from consumer.settings import BACKENDS, Backend, Settings, SettingsError, load
from consumer.settings.findings import Finding
from consumer.settings.table import SETTINGS
from consumer.settings.values import Duration

_SHOWN = 20


def reconcile_main(
    arguments: Sequence[str],
    *,
    find_embedded: FindEmbedded | None = None,
    console: Console | None = None,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    make: Callable[..., Reconciliation] = Reconciliation,
) -> int:
    """Returns 0 when nothing is missing or doubled, 1 when something is or could not be compared, 2 for wrong usage
    or settings. With --every, what the last look has said when it is stopped."""
    options = _parser().parse_args(arguments)
    console = console or Console()
    try:
        settings = _settings(options, find_embedded)
    except SettingsError as error:
        console.say("\n".join(map(str, error.findings)))
        return EXIT_USAGE
    except StartFailed as error:
        console.say("\n".join(error.messages))
        return EXIT_FAILED
    command = _Command(options, settings, console, now, make)
    return command.once() if options.every is None else command.watch(options.every, sleep)


class _Command:
    """One run. Whatever is wrong is told in one line."""

    def __init__(
        self,
        options: argparse.Namespace,
        settings: dict[Backend, Settings],
        console: Console,
        now: Callable[[], float],
        make: Callable[..., Reconciliation],
    ) -> None:
        self._options = options
        self._settings = settings
        self._console = console
        self._now = now
        self._make = make
        self._made: Reconciliation | None = None

    def once(self) -> int:
        """The exit code."""
        return _exit_code(self._look())

    def watch(self, every_seconds: float, sleep: Callable[[float], None]) -> int:
        """Looks again and again, and publishes what it finds, until SIGINT or SIGTERM."""
        monitor = Monitor(
            self._settings,
            file=self._options.metrics_file,
            began_at=self._now(),
            say=self._console.say,
            write=lambda line: print(line, flush=True),
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        result: Result | None = None
        try:
            while True:
                began = self._now()
                result = self._look()
                monitor.publish(result, self._now())
                sleep(max(0.0, began + every_seconds - self._now()))
        except KeyboardInterrupt:
            return _exit_code(result)

    def _look(self) -> Result | None:
        """None where nothing could be compared, which is told."""
        try:
            result = self._result()
        except (Refused, Trouble, DeliveryError) as error:
            self._console.say(f"reconcile: {error}")
            return None
        self._tell(result)
        return result

    def _result(self) -> Result:
        options = self._options
        begin, end = span(
            options.since, options.until, datetime.fromtimestamp(self._now(), UTC), names=("--from", "--to")
        )
        assert begin is not None
        if self._made is None:
            self._made = self._make(
                self._settings["s3"],
                self._settings["bigquery"],
                say=self._console.say,
                progress=lambda: Progress(self._console.out, "lines of S3 read"),
                now=self._now,
            )
        return self._made.run(begin, end, late_seconds=options.late)

    def _tell(self, result: Result) -> None:
        if self._options.json:
            print(json.dumps(report.as_object(result, self._options.by)), flush=True)
        else:
            print("\n".join(report.lines(result, self._options.by, self._options.limit)), flush=True)


def _exit_code(result: Result | None) -> int:
    return 0 if result is not None and result.clean else EXIT_FAILED


def _settings(options: argparse.Namespace, find_embedded: FindEmbedded | None) -> dict[Backend, Settings]:
    """Of both. Raises SettingsError with what is wrong with either, StartFailed."""
    found: dict[Backend, Settings] = {}
    findings: list[Finding] = []
    for backend in BACKENDS:
        chosen = argparse.Namespace(backend=backend, local=options.local)
        embedded = find_embedded_stack(chosen, find_embedded)
        both = {key: value for key, value in options.set if _knows(backend, key)}
        try:
            found[backend] = load(
                backend,
                file=getattr(options, f"{backend}_properties") or default_properties(backend),
                overrides={**embedded.overrides, **both, **dict(getattr(options, f"set_{backend}"))},
                environment=os.environ,
            )
        except SettingsError as error:
            findings += [finding for finding in error.findings if finding not in findings]
        os.environ.update(embedded.environment)
    if findings:
        raise SettingsError(findings)
    os.environ.update(exempt_metadata(os.environ))
    return found


def _knows(backend: Backend, key: str) -> bool:
    """A wrong name goes to both, to be refused."""
    return key not in SETTINGS or backend in SETTINGS[key].backends


def _duration(text: str) -> float:
    return Duration().parse(text)


def _interval(text: str) -> float:
    return Duration(at_least="1s").parse(text)


def _number(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reconcile",
        description="Compares what S3 and BigQuery hold of the same stream, dead letters included, as far as the"
        " checkpoints of both applications have come: whole hours, the last one as well once nothing is left on the"
        " stream. Ends with 0 when nothing is missing and nothing is doubled, with 1 when something is.",
    )
    parser.add_argument(
        "--from", dest="since", type=moment, required=True, metavar="TIME", help="ISO 8601, or 2h, 3d ago"
    )
    parser.add_argument("--to", dest="until", type=moment, metavar="TIME", help="default: now")
    parser.add_argument("--by", choices=("hour", "day"), default="hour", help="how the result is grouped")
    parser.add_argument(
        "--late",
        type=_duration,
        default="1h",
        metavar="DURATION",
        help="how far a record's own time and its arrival are apart at most, where BigQuery does not keep the arrival"
        " (bigquery.metadata_columns); default 1h",
    )
    parser.add_argument(
        "--limit",
        type=_number,
        default=_SHOWN,
        metavar="N",
        help=f"records that are named (default {_SHOWN})",
    )
    parser.add_argument("--json", action="store_true", help="all of it as one JSON object")
    watch = parser.add_argument_group("as a monitor")
    watch.add_argument(
        "--every",
        type=_interval,
        metavar="DURATION",
        help="look again after so long, until it is stopped; --from as 3h counts from each look",
    )
    watch.add_argument(
        "--metrics-file",
        type=Path,
        metavar="FILE",
        help="with --every: metrics as Prometheus text, for the textfile collector of node_exporter; also sent as"
        " metrics.otlp_endpoint and metrics.emf of each side say (docs/metrics.md)",
    )
    settings = parser.add_argument_group("settings")
    settings.add_argument("--local", action="store_true", help="use the embedded stack that bin/local runs")
    for backend in BACKENDS:
        settings.add_argument(
            f"--{backend}-properties",
            type=Path,
            metavar="FILE",
            help=f"of {backend} (default: properties/{backend}.properties)",
        )
    for names, help_text in (
        ("", "a setting of both, or of the one that knows it; repeatable"),
        ("-s3", "a setting of s3 alone; repeatable"),
        ("-bigquery", "a setting of bigquery alone; repeatable"),
    ):
        settings.add_argument(
            f"--set{names}", action="append", default=[], type=assignment, metavar="KEY=VALUE", help=help_text
        )
    return parser
