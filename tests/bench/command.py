"""`bin/bench`: measures, checks that nothing was lost, and prints a table or JSON."""

import argparse
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from consumer.local.backends import BackendError
from consumer.local.bill import prices
from consumer.local.bill.ask import BillError
from consumer.local.bill.prices import PricesError
from consumer.local.child import ChildError
from consumer.operate.progress import Teller
from tests.bench import (
    catchup_level,
    cost_level,
    flat_level,
    fork_level,
    hostile_level,
    idle_level,
    kcl_level,
    latency_level,
    memory_level,
    originals_level,
    recovery_level,
    scrape_level,
    shard_level,
    sizes_level,
    watched_level,
    workers_level,
)
from tests.bench.cases import TARGETS, cases
from tests.bench.hostile_cases import hostile_cases
from tests.bench.kcl import BenchError
from tests.bench.report import report

type Say = Callable[[str], None]


class _Told(Exception):
    """All that was asked for has been printed."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/bench",
        description="Measures the daemon's parts on this machine. Every level counts what arrived, and fails when"
        " a record is lost. docs/benchmarks.md says what each of them measures.",
    )
    parser.add_argument(
        "level",
        choices=LEVELS,
        help="shard: CPU time and memory of one shard process by backend, format and size of records; flat: the"
        " same through 10 million records; memory: under load and under an outage; originals: the systems that the"
        " daemon replaces, and the daemon, at one request latency; latency: from put to readable in the backend,"
        " through the real KCL on the embedded stack; kcl: CPU time of the real KCL and its shard processes, reading"
        " prepared answers of Kinesis, against children that only acknowledge; recovery: time from a start, and"
        " from SIGKILL, to the next delivered record; forks: memory of many shard processes together, with and"
        " without a fork server; idle: CPU time and requests of a"
        " worker whose shards bring nothing; scrape: CPU time of metrics, by the number of shards; watched: the"
        " part of a shard process's CPU time that goes into figures, reports and samples for a tap; workers: many"
        " shards, shared by one worker of the real KCL, by two and by four, and split while records flow; hostile:"
        " records made to break a shard process, by backend, method, row shape and size, each of which has to be"
        " delivered or to become a dead letter within the limits of memory and CPU time (about three hours; --case,"
        " --only and --sizes choose);"
        " cost: what AWS and Google would bill for a stream of 1,000 records a second, by backend and method, at the"
        " list prices of consumer/local/bill/prices.toml; catchup: how long both backends need to the end of one"
        " shard that they are behind on, by polling and by fan-out, with the limits of Kinesis; sizes: what the real"
        " KCL and its shard processes carry with a quarter of a processor, a half, one and two, in a control group,"
        " which takes root",
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=3,
        metavar="N",
        help="of levels shard, watched, originals, recovery: medians of so many, of flat and kcl the least, of sizes"
        " the best (3)",
    )
    parser.add_argument(
        "--records",
        type=int,
        metavar="N",
        help="records a run: 400000 (shard, watched), fewer where they are large; 10000000 (flat); 200000 (originals);"
        " of all shards together 400000, or 50000 of each if that is more, and as many to warm up (kcl); 4000 of each"
        " shard (forks); 60000 (cost); of all shards together 400000, and half as many to warm up (sizes)",
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="cases whose backend, format, size, rate or child matches, as 's3.*700'; of level sizes backend and"
        " vCPU, as 's3, (0.5|1)$'; of level catchup retrieval,"
        " applications and feed, as 'FANOUT.*, 1$'; of level hostile, and of memory with --hostile: kinds of records"
        " that match, as 'arrays|half a million'",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="originals: a run begins no batch after this time (20); latency: of records at each rate (30);"
        " workers: of each state (15); idle: of each"
        " case (60); cost: in which the KCL's requests are counted (60); catchup: how long each case"
        " is followed (240)",
    )
    parser.add_argument(
        "--prices",
        type=Path,
        metavar="FILE",
        help="level cost: prices in place of consumer/local/bill/prices.toml",
    )
    parser.add_argument(
        "--backlog",
        type=float,
        default=catchup_level.BACKLOG_MB,
        metavar="MB",
        help="level catchup: how far behind the applications begin (60)",
    )
    hostile = parser.add_argument_group("levels hostile and memory")
    hostile.add_argument(
        "--hostile",
        action="store_true",
        help="level memory: a row for each kind of hostile record of 10 MiB, in place of its usual ones",
    )
    hostile.add_argument(
        "--case",
        metavar="PATTERN",
        help="level hostile: shard processes that match, as 'load, log.*Python' or '1 digit, native'",
    )
    hostile.add_argument(
        "--sizes",
        choices=("small", "large", "both"),
        default="both",
        help="level hostile: records of 20 KB, of 10 MiB, or both (both)",
    )
    originals = parser.add_argument_group("level originals")
    originals.add_argument(
        "--delay-ms", type=_delay_ms, default=100, metavar="N", help="latency of a request, 50 to 500 (100)"
    )
    originals.add_argument("--batch", type=int, default=500, metavar="N", help="records in a batch (500)")
    originals.add_argument(
        "--players", type=int, default=40, metavar="N", help="in a batch, one of them new in each (40)"
    )
    originals.add_argument(
        "--new-table-seconds", type=float, default=5, metavar="S", help="a new table is not found so long (5)"
    )
    kcl = parser.add_argument_group("level kcl")
    kcl.add_argument(
        "--shards",
        type=_numbers,
        metavar="N,…",
        help="shards of the stream, all read by one worker (1,2,4,16); of level forks: shard processes (8), of"
        " scrape and idle: shards of a worker (1,16,64); of level workers: shards after half as many are split, one"
        " even number (64); of level sizes one number (16)",
    )
    kcl.add_argument(
        "--max-records",
        type=int,
        metavar="N",
        help="records in an answer of Kinesis (maxRecords of properties/; of level sizes 1000)",
    )
    kcl.add_argument(
        "--wire",
        choices=("cbor", "json"),
        default="cbor",
        help="how Kinesis answers (cbor, as in production)",
    )
    kcl.add_argument(
        "--against",
        action="append",
        default=[],
        nargs="+",
        metavar="KEY=VALUE",
        help="settings to compare with the usual ones, in runs that take turns, as 'jvm.options=-XX:+UseParallelGC'"
        " jvm.heap=1GiB; may be given several times; the table has medians",
    )
    kcl.add_argument(
        "--profile",
        action="store_true",
        help="in place of the table, what Java's flight recorder says of one run of each case: threads, methods,"
        " collections and allocation",
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    return parser


def _delay_ms(text: str) -> int:
    value = int(text)
    if not 50 <= value <= 500:
        raise argparse.ArgumentTypeError(f"not from 50 to 500: {text}")
    return value


def _numbers(text: str) -> tuple[int, ...]:
    values = tuple(int(word) for word in text.split(","))
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"not numbers of shards: {text}")
    return values


def bench_main(argv: Sequence[str]) -> int:
    """Exit 0 if everything was measured, 1 if a run failed, lost a record or has faults, 2 for wrong options."""
    arguments = _parser().parse_args(argv)
    progress = Teller(sys.stderr)
    try:
        table = prices.load(arguments.prices) if arguments.prices else prices.load()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            rows = LEVELS[arguments.level](arguments, Path(folder), progress.say)
        if not rows:
            raise BenchError(f"level {arguments.level} has no case that matches {arguments.only!r}")
    except _Told:
        return 0
    except (BackendError, BenchError, BillError, ChildError, PricesError) as error:
        print(f"bin/bench: {error}", file=sys.stderr)
        return 1
    result = {
        "level": arguments.level,
        "command": " ".join(["bin/bench", *argv]),
        "machine": machine(),
        "runs": arguments.runs if arguments.level in _REPEATED else 1,
        "rows": rows,
    }
    print(json.dumps(result, indent=1) if arguments.json else report(result, table))
    failed = [row for row in rows if row.get("faults")]
    if failed:
        print(f"bin/bench: {len(failed)} of {len(rows)} rows have faults", file=sys.stderr)
    return 1 if failed else 0


def _shard(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    chosen = [
        case
        for case in cases(arguments.records or 400_000)
        if re.search(arguments.only or "", f"{case.backend}, {case.name}, {case.input.record_bytes}")
    ]
    return shard_level.measure(chosen, runs=arguments.runs, folder=folder, say=say)


def _flat(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    chosen = [target for target in TARGETS if re.search(arguments.only or "", target)]
    return flat_level.measure(
        chosen, arguments.records or 10_000_000, runs=arguments.runs, folder=folder, say=say
    )


def _memory(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    if arguments.hostile:
        return memory_level.measure_hostile(arguments.only or "", folder=folder, say=say)
    return memory_level.measure(folder=folder, say=say)


def _hostile(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    return hostile_level.measure(
        [case for case in hostile_cases() if re.search(arguments.case or "", case.name)],
        pattern=arguments.only or "",
        sizes=hostile_level.SIZES if arguments.sizes == "both" else (arguments.sizes,),
        folder=folder,
        say=say,
    )


def _originals(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    conditions = originals_level.Conditions(
        delay_ms=arguments.delay_ms,
        seconds=arguments.seconds or 20,
        batch=arguments.batch,
        players=arguments.players,
        new_table_seconds=arguments.new_table_seconds,
    )
    chosen = [
        case
        for case in originals_level.systems(arguments.records or 200_000)
        if re.search(arguments.only or "", f"{case.backend}, {case.name}")
    ]
    return originals_level.measure(chosen, conditions, runs=arguments.runs, folder=folder, say=say)


def _latency(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    chosen = [
        case
        for case in latency_level.CASES
        if re.search(arguments.only or "", f"{case.backend}, {case.rate}")
    ]
    return latency_level.measure(chosen, seconds=arguments.seconds or 30, folder=folder, say=say)


def _kcl(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    chosen = [
        case
        for case in kcl_level.cases(
            arguments.shards or kcl_level.SHARDS,
            records=arguments.records,
            max_records=arguments.max_records,
            wire=arguments.wire,
            against=arguments.against,
        )
        if re.search(arguments.only or "", case.child)
    ]
    if arguments.profile:
        print(kcl_level.profiled(chosen, folder=folder, say=say))
        raise _Told
    return kcl_level.measure(chosen, runs=arguments.runs, folder=folder, say=say)


def _recovery(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    return recovery_level.measure(
        only=lambda backend: bool(re.search(arguments.only or "", backend)),
        runs=arguments.runs,
        folder=folder,
        say=say,
    )


def _forks(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    return fork_level.measure(
        arguments.shards or fork_level.USUAL_SHARDS,
        arguments.records or fork_level.RECORDS,
        folder=folder,
        say=say,
    )


def _idle(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    return idle_level.measure(
        arguments.shards or idle_level.SHARDS,
        [variant for variant in idle_level.VARIANTS if re.search(arguments.only or "", variant.name)],
        seconds=arguments.seconds or idle_level.SECONDS,
        folder=folder,
        say=say,
    )


def _scrape(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    return scrape_level.measure(arguments.shards or scrape_level.USUAL_SHARDS, say=say)


def _watched(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    chosen = [target for target in TARGETS if re.search(arguments.only or "", target)]
    return watched_level.measure(
        chosen, arguments.records or 400_000, runs=arguments.runs, folder=folder, say=say
    )


def _workers(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    [shards] = arguments.shards or (workers_level.SHARDS,)
    conditions = workers_level.Conditions(
        shards=shards,
        seconds=arguments.seconds or workers_level.SECONDS,
        leases=workers_level.production(),
    )
    return workers_level.measure(conditions, folder=folder, say=say)


def _cost(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    chosen = [case for case in cost_level.CASES if re.search(arguments.only or "", case.name)]
    return cost_level.measure(
        chosen,
        records=arguments.records or cost_level.RECORDS,
        seconds=arguments.seconds or cost_level.SECONDS,
        folder=folder,
        say=say,
    )


def _catchup(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    return catchup_level.measure(
        [case for case in catchup_level.CASES if re.search(arguments.only or "", case.name)],
        backlog_mb=arguments.backlog,
        seconds=arguments.seconds or catchup_level.SECONDS,
        folder=folder,
        say=say,
    )


def _sizes(arguments: argparse.Namespace, folder: Path, say: Say) -> list[dict[str, Any]]:
    [shards] = arguments.shards or (sizes_level.SHARDS,)
    return sizes_level.measure(
        [case for case in sizes_level.CASES if re.search(arguments.only or "", case.name)],
        shards=shards,
        records=arguments.records or sizes_level.RECORDS,
        max_records=arguments.max_records or sizes_level.ANSWER_RECORDS,
        runs=arguments.runs,
        folder=folder,
        say=say,
    )


_REPEATED = frozenset({"shard", "flat", "watched", "originals", "kcl", "recovery", "sizes"})
LEVELS = {
    "shard": _shard,
    "flat": _flat,
    "memory": _memory,
    "originals": _originals,
    "latency": _latency,
    "kcl": _kcl,
    "recovery": _recovery,
    "forks": _forks,
    "idle": _idle,
    "scrape": _scrape,
    "watched": _watched,
    "workers": _workers,
    "hostile": _hostile,
    "cost": _cost,
    "catchup": _catchup,
    "sizes": _sizes,
}


def machine() -> dict[str, str | int]:
    """What the figures depend on, without the machine's name."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }
