"""`bin/put`: feed records to the stream."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from consumer.local import stack as stacks
from consumer.local.aggregate import Aggregator
from consumer.local.generate import Logs, midnight_today
from consumer.local.producer import Producer, PutError, Sent, paced
from consumer.local.records import MAX_CALL_RECORDS, calls, keyed, read_lines
from consumer.operate.progress import Teller


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/put",
        description="Put records on the stream: the lines of FILE (NDJSON, plain or gzip; - for stdin),"
        " as the bytes they are without their line ends; blank lines are skipped. Or generated logs.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="NDJSON or gzip, - for stdin")
    parser.add_argument("--generate", type=int, metavar="N", help="make N player logs instead")
    parser.add_argument("--seed", type=int, default=1, help="of the generated logs (default 1)")
    parser.add_argument("--players", type=int, default=1000, help="in the generated logs (default 1000)")
    parser.add_argument(
        "--base-time",
        type=datetime.fromisoformat,
        metavar="TIME",
        help="of the first generated log, ISO 8601, UTC unless it says otherwise (default: today 00:00)",
    )
    parser.add_argument("--key-field", default="player_id", help="the partition key (default player_id)")
    parser.add_argument("--aggregate", action="store_true", help="pack records as the KPL does")
    parser.add_argument("--rate", type=float, metavar="R", help="records a second (default: all it takes)")
    parser.add_argument("--in-flight", type=int, default=4, metavar="N", help="calls at once (default 4)")
    parser.add_argument("--stream", help="default: that of the running local stack")
    parser.add_argument("--endpoint-url", help="default: that of the running local stack")
    parser.add_argument("--region", help="with --stream: use AWS itself, unless --endpoint-url is given")
    parser.add_argument("--state-dir", type=Path, help="of the local stack")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    return parser


@dataclass(frozen=True, slots=True)
class Target:
    """A stream and a boto3 client that reaches it."""

    client: Any
    stream: str


def _target(arguments: argparse.Namespace) -> Target:
    """The stream the options name, else the local stack's. Raises StackNotRunningError."""
    config = {"max_pool_connections": arguments.in_flight}
    if arguments.stream and (arguments.region or arguments.endpoint_url):
        client = boto3.client(
            "kinesis", region_name=arguments.region or stacks.REGION, endpoint_url=arguments.endpoint_url
        )
        return Target(client, arguments.stream)
    stack = stacks.load(arguments.state_dir)
    return Target(stack.client("kinesis", **config), arguments.stream or stack.stream)


def _lines(arguments: argparse.Namespace) -> Iterator[bytes]:
    if arguments.generate is None:
        return read_lines(arguments.file)
    base = arguments.base_time or midnight_today(datetime.now(UTC))
    return Logs(
        count=arguments.generate,
        seed=arguments.seed,
        players=arguments.players,
        base_time=base if base.tzinfo else base.replace(tzinfo=UTC),
    ).lines()


def put(
    lines: Iterable[bytes],
    target: Target,
    *,
    key_field: str = "player_id",
    aggregate: bool = False,
    rate: float | None = None,
    in_flight: int = 4,
    progress: Teller | None = None,
) -> Sent:
    """Send the lines and return the counts. Blocks until all is sent. Raises PutError."""
    producer = Producer(client=target.client, stream=target.stream, in_flight=in_flight)
    records: Any = (keyed(line, key_field) for line in lines)
    if aggregate:
        aggregator = Aggregator(target.client, target.stream)
        producer.placed = aggregator.misplaced
        records = aggregator.pack(records)
    max_records = MAX_CALL_RECORDS if rate is None else max(1, min(MAX_CALL_RECORDS, int(rate / 4)))
    batches = calls(records, max_records=max_records)
    if rate is not None:
        batches = paced(batches, rate)
    if progress is None:
        return producer.send(batches)

    def told() -> str:
        return f"{producer.sent.records:,} records put"

    with progress.following(told):
        sent = producer.send(batches)
    progress.say(told())
    return sent


def put_main(argv: Sequence[str]) -> int:
    """Exit 0 if every record was accepted, 1 if not, 2 for wrong options."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if (arguments.file is None) == (arguments.generate is None):
        parser.error("give FILE (or -) or --generate N, one of the two")
    progress = Teller(sys.stderr)
    try:
        sent = put(
            _lines(arguments),
            _target(arguments),
            key_field=arguments.key_field,
            aggregate=arguments.aggregate,
            rate=arguments.rate,
            in_flight=arguments.in_flight,
            progress=progress,
        )
    except (PutError, stacks.StackNotRunningError, OSError) as error:
        print(f"bin/put: {error}", file=sys.stderr)
        return 1
    _report(sent, progress.seconds(), as_json=arguments.json)
    return 1 if sent.failed else 0


def _report(sent: Sent, seconds: float, *, as_json: bool) -> None:
    summary = {
        "records": sent.records,
        "failed": sent.failed,
        "resent": sent.resent,
        "kinesis_records": sent.puts,
        "calls": sent.calls,
        "bytes": sent.bytes,
        "seconds": round(seconds, 1),
    }
    if as_json:
        print(json.dumps(summary))
        return
    rate = sent.records / max(seconds, 0.001)
    print(f"{sent.records:,} records accepted, {sent.failed:,} refused, {sent.resent:,} sent again;", end=" ")
    print(f"{sent.puts:,} Kinesis records, {sent.bytes:,} bytes, {seconds:.1f} s, {rate:,.0f} records/s")
