"""`bin/demo`: delivers records through the real KCL to S3 and BigQuery and proves it by reading them back."""

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from consumer.local import backends, look, loopback, report, tethered
from consumer.local import stack as stacks
from consumer.local.backends import BACKENDS, BackendError, settings_for
from consumer.local.bill import prices
from consumer.local.bill.ask import Bill, BillError
from consumer.local.bill.prices import Prices, PricesError
from consumer.local.child import ROOT, ChildError, tail
from consumer.local.feeder import Feeder, FeedError, feeding
from consumer.local.generate import Logs, midnight_today
from consumer.local.limits import options
from consumer.local.records import read_lines
from consumer.local.samples import command, samples
from consumer.local.stack import Stack, StackNotRunningError, StackRunningError
from consumer.local.waits import Report, reports
from consumer.local.witness import Seen, Verdict, Witness
from consumer.operate.progress import Teller
from consumer.settings import Settings, SettingsError, load
from consumer.settings.table import SETTINGS, Backend

#: Without any progress for this long, nothing more is waited for; sooner where a shard is held.
STALL_SECONDS = 120
_HELD_SECONDS = 20
_POLL_SECONDS = 1.0
_MAX_POLL_SECONDS = 5.0
_KEPT_START_SECONDS = 90

#: Short waits, so that a demo shows several chunks a shard and ends soon.
_DEMO_SETTINGS = {"chunk.grace": "1s", "checkpoint.interval": "2s"}
_DEMO_WINDOWS: dict[Backend, str] = {"s3": "5s", "bigquery": "1s"}
#: A load job costs the embedded stack more than a request does.
_LOAD_WINDOW = "15s"
_WORKERS = "workers"

_OWN_QUERY = (
    "SELECT STRING(log.event) AS event, COUNT(*) AS records FROM {table}"
    " GROUP BY event ORDER BY records DESC, event LIMIT 3"
)
_ANY_QUERY = "SELECT DATE({time}) AS day, COUNT(*) AS records FROM {table} GROUP BY day ORDER BY day LIMIT 3"
_ROW_QUERY = "SELECT * FROM {table} ORDER BY {time} LIMIT 1"


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"not key=value: {text}")
    return key.strip(), value.strip()


def add_method(parser: argparse.ArgumentParser) -> None:
    """`--method NAME` for `--set bigquery.method=NAME`."""
    kind = SETTINGS["bigquery.method"].kind

    def method(text: str) -> tuple[str, str]:
        try:
            kind.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return "bigquery.method", text

    parser.add_argument(
        "--method",
        dest="set",
        action="append",
        type=method,
        metavar="NAME",
        help=f"how rows are written to BigQuery: {kind.describe()}",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    parser.add_argument("--input", metavar="FILE", help="NDJSON or gzip; default: generated player logs")
    parser.add_argument(
        "--records", type=int, default=20_000, metavar="N", help="to generate (default 20000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the generated logs (default 1)")
    parser.add_argument("--shards", type=int, default=2, metavar="N", help="of the stream (default 2)")
    parser.add_argument("--aggregate", action="store_true", help="pack records as the KPL does")
    parser.add_argument(
        "--set",
        type=setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting for both backends (one that belongs to one of them goes there); repeatable",
    )
    add_method(parser)
    options.add_options(parser)
    parser.add_argument(
        "--prices", type=Path, metavar="FILE", help="prices in place of consumer/local/bill/prices.toml"
    )
    parser.add_argument("--keep", action="store_true", help="leave the stack running, to look around")
    parser.add_argument("--json", action="store_true", help="the summary as JSON, last line of stdout")
    return parser


def demo_main(argv: Sequence[str], progress: Teller) -> int:
    """Exit 0 if every record was found exactly once, 1 if not, 2 for wrong options, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        _refuse_wrong_settings(dict(arguments.set))
        table = prices.load(arguments.prices) if arguments.prices else prices.load()
        with _state_dir(arguments, progress) as state_dir:
            demo = _Demo(arguments, state_dir, progress, table)
            with progress.following(lambda: demo.doing):
                verdict = demo.run()
            return 0 if verdict.clean else 1
    except KeyboardInterrupt:
        progress.say("stopped; nothing is left running")
        return 130
    except SettingsError as error:
        for finding in error.findings:
            print(f"bin/demo: {finding.key}: {finding.message}", file=sys.stderr)
        return 2
    except (
        *(BackendError, BillError, ChildError, DemoError, FeedError, PricesError, StackRunningError),
        OSError,
    ) as error:
        print(f"bin/demo: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _state_dir(arguments: argparse.Namespace, progress: Teller) -> Iterator[Path]:
    """The local stack's own folder for --keep; else a folder of this demo, which stays for bin/local to look at."""
    if arguments.keep:
        yield stacks.default_state_dir()
        return
    state_dir = Path(tempfile.mkdtemp(prefix="consumer-demo-"))
    try:
        yield state_dir
    except KeyboardInterrupt:
        shutil.rmtree(state_dir, ignore_errors=True)
        raise
    except Exception:
        progress.say(f"logs are left in {state_dir}")
        raise


class _Demo:
    """One run. `doing` is what it does or waits for, in a line; it is said again whenever nothing else is."""

    def __init__(
        self, arguments: argparse.Namespace, state_dir: Path, progress: Teller, table: Prices
    ) -> None:
        self._arguments = arguments
        self._prices = table
        self._state_dir = state_dir
        self._progress = progress
        self.doing = ""

    def run(self) -> Verdict:
        records = self._records()
        shards = self._arguments.shards
        self._begin(f"starting AWS and BigQuery on loopback, a stream of {shards} shards")
        with _stack(self._arguments, self._state_dir) as stack:
            return self._on(stack, records)

    def _begin(self, step: str) -> None:
        self.doing = step
        self._progress.say(step)

    def _records(self) -> list[bytes]:
        arguments = self._arguments
        self.doing = f"reading {arguments.input}" if arguments.input else "generating records"
        if arguments.input:
            records = list(read_lines(arguments.input))
        else:
            base = midnight_today(datetime.now(UTC))
            records = list(Logs(count=arguments.records, seed=arguments.seed, base_time=base).lines())
        self._progress.say(f"{len(records):,} records {'read' if arguments.input else 'generated'}")
        return records

    def _on(self, stack: Stack, records: list[bytes]) -> Verdict:
        arguments = self._arguments
        given = dict(arguments.set)
        chosen = {backend: _chosen(backend, self._state_dir, given) for backend in BACKENDS}
        settings = {backend: _effective(backend, stack, chosen[backend]) for backend in BACKENDS}
        witness = Witness(stack, settings)
        start = datetime.now(UTC)
        kept = self._deliver(witness, chosen, settings, records)
        counts = Bill(stack).counts()
        self._begin("reading every object, row and dead letter, and what is left on the stream")
        verdict = witness.verdict(records, start=start, end=datetime.now(UTC) + timedelta(seconds=1))
        self.doing = "preparing what to look at"
        seconds = self._progress.seconds()
        told = [report.table(verdict, records=len(records), seconds=seconds)]
        told += report.causes(verdict, kept, look_up=self._look_up_records)
        told += ["", *report.bill(counts, self._prices, records=len(records))]
        told += ["", *self._samples(stack, settings, verdict), self._where(stack, verdict)]
        out = sys.stderr if arguments.json else sys.stdout
        print("", *told, sep="\n", file=out, flush=True)
        if arguments.json:
            print(json.dumps(report.summary(verdict, records=len(records), seconds=seconds)), flush=True)
        self.doing = "ending the stack"
        return verdict

    def _deliver(
        self,
        witness: Witness,
        chosen: Mapping[Backend, Mapping[str, str]],
        settings: Mapping[Backend, Settings],
        records: list[bytes],
    ) -> dict[Backend, Report]:
        """What keeps the backends from delivering at the end, as they say."""
        put_options = ["--key-field", str(settings["bigquery"]["record.key_field"])]
        put_options += ["--aggregate"] if self._arguments.aggregate else []
        with (
            backends.started(self._state_dir, chosen) as running,
            feeding(self._state_dir, records, *put_options) as feeder,
        ):
            self._begin(
                "bin/start s3 and bin/start bigquery: the first records arrive in half a minute or so"
            )
            pages = [f"{loopback.url(one['http.port'])} ({backend})" for backend, one in chosen.items()]
            self._progress.say(f"their status pages, as long as they run: {', '.join(pages)}")
            kept = self._wait(witness, running, feeder, len(records))
            self._begin("stopping both backends with SIGTERM: they deliver and checkpoint what they have")
            backends.stop(running)
        return kept

    def _wait(
        self, witness: Witness, running: Sequence[backends.Running], feeder: Feeder, records: int
    ) -> dict[Backend, Report]:
        """Until both backends hold as many records as were put, or nothing has moved for a while."""
        last, moved = Seen(0, 0), time.monotonic()
        all_put = False
        while True:
            for one in running:
                one.check()
            if not all_put and feeder.done():
                all_put = True
                self._progress.say(f"all {records:,} records are on the stream")
            looked = time.monotonic()
            seen, said = witness.look(), reports(self._state_dir / _WORKERS)
            kept = {backend: report for backend, report in said.items() if report.reasons}
            if seen != last:
                last, moved = seen, time.monotonic()
            held = any(report.held for report in said.values())
            if held or max(seen.s3, seen.bigquery):
                feeder.go_on()
            self.doing = _delivering(seen, records, said)
            self._progress.show(self.doing)
            if all_put and min(seen.s3, seen.bigquery) >= records:
                return kept
            patience = _HELD_SECONDS if held and all_put else STALL_SECONDS
            if time.monotonic() - moved > patience:
                self._progress.say(f"nothing more was delivered for {patience} s; verifying what is there")
                return kept
            # A look costs the stack work that delivery needs.
            time.sleep(min(max(_POLL_SECONDS, 2 * (time.monotonic() - looked)), _MAX_POLL_SECONDS))

    @property
    def _look_up_records(self) -> str:
        """The command that says which settings fit the records."""
        sample = shlex.quote(self._arguments.input or "FILE")
        given = settings_for("bigquery", dict(self._arguments.set)).items()
        chosen = [shlex.quote(f"--set={key}={value}") for key, value in given]
        return " ".join([command("check"), "bigquery", "--sample", sample, *chosen])

    def _samples(self, stack: Stack, settings: Mapping[Backend, Settings], verdict: Verdict) -> Iterator[str]:
        time = settings["bigquery"]["bigquery.partition_field"]
        queries = (_ROW_QUERY, _ANY_QUERY if self._arguments.input else _OWN_QUERY)
        return samples(
            look.OnStack(stack),
            prefix=str(settings["s3"]["s3.prefix"]),
            queries=[
                query.format(table=name, time=time) for name in sorted(verdict.rows)[:1] for query in queries
            ],
        )

    def _where(self, stack: Stack, verdict: Verdict) -> str:
        """What is left, and how to look at it."""
        if self._arguments.keep:
            return (
                f"The stack is left running (logs in {self._state_dir}): put and deliver more as README.md says,"
                f" and stop it by: kill {stack.pid}"
            )
        size = look.leave(stack, self._state_dir)
        return (
            f"These commands work until the next demo: objects ({size:,} bytes), tables and logs are in"
            f" {self._state_dir}. With --keep the stack itself stays."
        )


def _delivering(seen: Seen, records: int, said: Mapping[Backend, Report]) -> str:
    """How far they are; and what those do that are not there yet."""
    arrived = {"s3": seen.s3, "bigquery": seen.bigquery}
    doing = {
        backend: said[backend].doing() if backend in said else "starting"
        for backend in BACKENDS
        if arrived[backend] < records
    }
    text = f"delivered: S3 {seen.s3:,}, BigQuery {seen.bigquery:,} of {records:,}"
    if len(set(doing.values())) == 1:
        return f"{text}; {' and '.join(doing)}: {doing.popitem()[1]}"
    return "; ".join([text, *(f"{backend}: {what}" for backend, what in doing.items())])


@contextlib.contextmanager
def _stack(arguments: argparse.Namespace, state_dir: Path) -> Iterator[Stack]:
    if arguments.keep:
        with _kept_stack(arguments, state_dir) as stack:
            yield stack
    else:
        limits = options.chosen(arguments)
        with stacks.running(state_dir, shards=arguments.shards, leaves_tables=True, limits=limits) as running:
            yield running.stack


@contextlib.contextmanager
def _kept_stack(arguments: argparse.Namespace, state_dir: Path) -> Iterator[Stack]:
    """The stack as a `bin/local` of its own, stopped only if the demo does not come to its end."""
    state_dir.mkdir(parents=True, exist_ok=True)
    log = state_dir / "local.log"
    with log.open("wb") as output:
        command = [sys.executable, "-P", "-m", "consumer", "local", "--shards", str(arguments.shards)]
        command += options.for_command(options.chosen(arguments))
        local = subprocess.Popen(
            [*command, "--state-dir", str(state_dir)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=tethered.environment(state_dir),
        )
    try:
        yield _loaded(local, state_dir, log)
    except BaseException:
        local.terminate()
        local.wait()
        raise


def _loaded(local: subprocess.Popen[bytes], state_dir: Path, log: Path) -> Stack:
    deadline = time.monotonic() + _KEPT_START_SECONDS
    while time.monotonic() < deadline:
        if local.poll() is not None:
            raise DemoError(f"the stack did not start:\n{tail(log)}")
        with contextlib.suppress(StackNotRunningError):
            if (stack := stacks.load(state_dir)).pid == local.pid:
                return stack
        time.sleep(0.1)
    raise DemoError(f"the stack did not start within {_KEPT_START_SECONDS} s:\n{tail(log)}")


def _chosen(backend: Backend, state_dir: Path, given: dict[str, str]) -> dict[str, str]:
    """The demo's own settings beneath those given on the command line."""
    loads = backend == "bigquery" and given.get("bigquery.method") == "load"
    window = _LOAD_WINDOW if loads else _DEMO_WINDOWS[backend]
    own = {"chunk.window": window, "worker.state_dir": str(state_dir / _WORKERS)}
    own["http.port"] = str(loopback.free_port())
    return {**_DEMO_SETTINGS, **own, **settings_for(backend, given)}


def _effective(backend: Backend, stack: Stack, chosen: dict[str, str]) -> Settings:
    """The settings the backend runs with, to know where to look for what it writes."""
    file = ROOT / "properties" / f"{backend}.properties"
    return load(backend, file=file, overrides={**stacks.overrides(stack, backend), **chosen})


def _refuse_wrong_settings(given: dict[str, str]) -> None:
    """Before anything is started. Raises SettingsError or DemoError."""
    nowhere = Stack(
        aws_endpoint="http://127.0.0.1:1", bigquery_endpoint="http://127.0.0.1:1", bigquery_grpc="127.0.0.1:1"
    )
    for backend in BACKENDS:
        settings = _effective(backend, nowhere, _chosen(backend, Path("var"), given))
        if backend == "bigquery" and settings["bigquery.row"] != "log":
            raise DemoError("the demo verifies rows of the shape bigquery.row=log only")
