"""`bin/demo`: delivers records through the real KCL to S3 and BigQuery and proves it by reading them back."""

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from consumer.local import backends, report, tethered
from consumer.local import stack as stacks
from consumer.local.backends import BACKENDS, BackendError, settings_for
from consumer.local.child import ROOT, ChildError, tail
from consumer.local.feeder import Feeder, FeedError, feeding
from consumer.local.generate import Logs, midnight_today
from consumer.local.progress import Progress
from consumer.local.records import read_lines
from consumer.local.stack import Stack, StackNotRunningError, StackRunningError
from consumer.local.witness import Seen, Verdict, Witness
from consumer.settings import Settings, SettingsError, load
from consumer.settings.table import SETTINGS, Backend

#: Without any progress for this long, what is missing counts as lost.
STALL_SECONDS = 120
_POLL_SECONDS = 1.0
_MAX_POLL_SECONDS = 5.0
_KEPT_START_SECONDS = 90

#: Short waits, so that a demo shows several chunks a shard and ends soon.
_DEMO_SETTINGS = {"chunk.grace": "1s", "checkpoint.interval": "2s", "http.port": "0"}
_DEMO_WINDOWS: dict[Backend, str] = {"s3": "5s", "bigquery": "1s"}
#: A load job costs the embedded stack more than a request does.
_LOAD_WINDOW = "15s"


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
    parser.add_argument("--keep", action="store_true", help="leave the stack running, to look around")
    parser.add_argument("--json", action="store_true", help="the summary as JSON, last line of stdout")
    return parser


def demo_main(argv: Sequence[str]) -> int:
    """Exit 0 if every record was found exactly once, 1 if not, 2 for wrong options, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    progress = Progress(sys.stderr)
    try:
        _refuse_wrong_settings(dict(arguments.set))
        with _state_dir(arguments, progress) as state_dir:
            clean = _demo(arguments, state_dir, progress)
            if clean and not arguments.keep:
                shutil.rmtree(state_dir, ignore_errors=True)
            return 0 if clean else 1
    except KeyboardInterrupt:
        progress.say("stopped; nothing is left running")
        return 130
    except SettingsError as error:
        for finding in error.findings:
            print(f"bin/demo: {finding.key}: {finding.message}", file=sys.stderr)
        return 2
    except (BackendError, ChildError, DemoError, FeedError, StackRunningError, OSError) as error:
        print(f"bin/demo: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _state_dir(arguments: argparse.Namespace, progress: Progress) -> Iterator[Path]:
    """The local stack's own folder for --keep; else a folder of this demo that only a failure leaves behind."""
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


def _demo(arguments: argparse.Namespace, state_dir: Path, progress: Progress) -> bool:
    records = _records(arguments, progress)
    progress.say(f"starting AWS and BigQuery on loopback, a stream of {arguments.shards} shards")
    with _stack(arguments, state_dir) as stack:
        verdict = _deliver(arguments, stack, state_dir, records, progress)
        seconds = progress.seconds()
        out = sys.stderr if arguments.json else sys.stdout
        print(f"\n{report.table(verdict, records=len(records), seconds=seconds)}\n", file=out)
        print(_where_to_look(arguments, stack, state_dir, verdict), file=out, flush=True)
        if arguments.json:
            print(json.dumps(report.summary(verdict, records=len(records), seconds=seconds)), flush=True)
        return verdict.clean


def _records(arguments: argparse.Namespace, progress: Progress) -> list[bytes]:
    if arguments.input:
        records = list(read_lines(arguments.input))
    else:
        base = midnight_today(datetime.now(UTC))
        records = list(Logs(count=arguments.records, seed=arguments.seed, base_time=base).lines())
    progress.say(f"{len(records):,} records {'read' if arguments.input else 'generated'}")
    return records


@contextlib.contextmanager
def _stack(arguments: argparse.Namespace, state_dir: Path) -> Iterator[Stack]:
    if arguments.keep:
        with _kept_stack(arguments.shards, state_dir) as stack:
            yield stack
    else:
        with stacks.running(state_dir, shards=arguments.shards) as running:
            yield running.stack


@contextlib.contextmanager
def _kept_stack(shards: int, state_dir: Path) -> Iterator[Stack]:
    """The stack as a `bin/local` of its own, stopped only if the demo does not come to its end."""
    state_dir.mkdir(parents=True, exist_ok=True)
    log = state_dir / "local.log"
    with log.open("wb") as output:
        command = [sys.executable, "-P", "-m", "consumer", "local", "--shards", str(shards)]
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


def _deliver(
    arguments: argparse.Namespace, stack: Stack, state_dir: Path, records: list[bytes], progress: Progress
) -> Verdict:
    chosen = {backend: _chosen(backend, state_dir, dict(arguments.set)) for backend in BACKENDS}
    settings = {backend: _effective(backend, stack, chosen[backend]) for backend in BACKENDS}
    witness = Witness(stack, settings)
    start = datetime.now(UTC)
    put_options = ["--key-field", str(settings["bigquery"]["record.key_field"])]
    put_options += ["--aggregate"] if arguments.aggregate else []
    with backends.started(state_dir, chosen) as running, feeding(state_dir, records, *put_options) as feeder:
        progress.say("bin/start s3 and bin/start bigquery; the KCL takes up to a minute for its first lease")
        _wait(witness, running, feeder, len(records), progress)
        progress.say("stopping both backends with SIGTERM")
        backends.stop(running)
    progress.say("reading every object, row and dead letter")
    return witness.verdict(records, start=start, end=datetime.now(UTC) + timedelta(seconds=1))


def _chosen(backend: Backend, state_dir: Path, given: dict[str, str]) -> dict[str, str]:
    """The demo's own settings beneath those given on the command line."""
    loads = backend == "bigquery" and given.get("bigquery.method") == "load"
    window = _LOAD_WINDOW if loads else _DEMO_WINDOWS[backend]
    own = {"chunk.window": window, "worker.state_dir": str(state_dir / "workers")}
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


def _wait(
    witness: Witness, running: Sequence[backends.Running], feeder: Feeder, records: int, progress: Progress
) -> None:
    """Until both backends hold as many records as were put, or nothing has moved for a while."""
    last, moved = Seen(0, 0), time.monotonic()
    all_put = False
    while True:
        for one in running:
            one.check()
        if not all_put and feeder.done():
            all_put = True
            progress.say(f"all {records:,} records are on the stream")
        looked = time.monotonic()
        seen = witness.look()
        if seen != last:
            last, moved = seen, time.monotonic()
        if max(seen.s3, seen.bigquery):
            feeder.go_on()
        progress.show(f"delivered: S3 {seen.s3:,}, BigQuery {seen.bigquery:,} of {records:,}")
        if all_put and min(seen.s3, seen.bigquery) >= records:
            return
        if time.monotonic() - moved > STALL_SECONDS:
            progress.say(f"nothing more was delivered for {STALL_SECONDS} s; verifying what is there")
            return
        # A look costs the stack work that delivery needs.
        time.sleep(min(max(_POLL_SECONDS, 2 * (time.monotonic() - looked)), _MAX_POLL_SECONDS))


def _where_to_look(arguments: argparse.Namespace, stack: Stack, state_dir: Path, verdict: Verdict) -> str:
    if not arguments.keep and not verdict.clean:
        return f"Logs are left in {state_dir}. With --keep the stack stays too."
    if not arguments.keep:
        return (
            "bin/demo --keep leaves the stack running, to look at the objects and tables; more in README.md"
        )
    return (
        f"The stack is left running (logs in {state_dir}). Look:\n"
        "  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION=us-east-1\n"
        f"  aws --endpoint-url {stack.aws_endpoint} s3 ls --recursive s3://{stack.bucket}/\n"
        f"  bq --api {stack.bigquery_endpoint} query --use_legacy_sql=false"
        f" 'SELECT COUNT(*) FROM `{stack.project}.{stack.dataset}.player_log_0`'\n"
        f"Stop it: kill {stack.pid}"
    )
