"""`bin/local`: the embedded stack in the foreground."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from consumer.local import stack as stacks
from consumer.local.child import ChildError
from consumer.local.limits import options
from consumer.local.stack import Running, Stack

_USAGE = """\
The embedded stack is running:
  AWS       {aws_endpoint}   (Kinesis, DynamoDB, S3; stream {stream}, bucket {bucket})
  BigQuery  {bigquery_endpoint}   (gRPC {bigquery_grpc}; project {project}, dataset {dataset})
  logs      {state_dir}

In other terminals:
  {export}bin/start s3 --local
  {export}bin/start bigquery --local
  {export}bin/put --generate 10000

Look, once something was delivered (bin/start bigquery makes the tables):
  {export}bin/local s3 ls
  {export}bin/local s3 cat KEY
  {export}bin/local sql "SELECT * FROM player_log_0 LIMIT 3"

With clients of your own:
  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION={region}
  aws --endpoint-url {aws_endpoint} kinesis list-shards --stream-name {stream}

Break (the same on the BigQuery port; rules in consumer/local/faults/rules.py):
  curl -X PUT {aws_endpoint}/_faults/slow -d '{{"service": "s3", "action": {{"type": "delay", "seconds": 2}}}}'
  curl -X DELETE {aws_endpoint}/_faults/slow

Count what AWS and Google would bill (the same on the BigQuery port; DELETE begins anew):
  curl {aws_endpoint}/_bill

Stop: Ctrl-C (twice to kill), or kill {pid}
"""


def usage(stack: Stack, state_dir: Path) -> str:
    """How to use a running stack, ready to copy."""
    export = "" if state_dir == stacks.default_state_dir() else f"CONSUMER_LOCAL_DIR={state_dir} "
    fields = {name: getattr(stack, name) for name in Stack.__dataclass_fields__}
    return _USAGE.format(**fields, state_dir=state_dir, export=export)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/local",
        description="Runs the embedded stack in the foreground.",
        epilog="To look at what was delivered: bin/local sql QUERY, bin/local s3 ls, bin/local s3 cat KEY.",
    )
    parser.add_argument("--shards", type=int, default=2, help="shards of the stream (default 2)")
    options.add_options(parser)
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=stacks.default_state_dir(),
        help="where logs and stack.json go (default: $CONSUMER_LOCAL_DIR or var/local)",
    )
    return parser


def local_main(argv: Sequence[str]) -> int:
    """Run the stack until SIGINT or SIGTERM (exit 0) or until one of its processes ends (exit 1)."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state_dir = arguments.state_dir.absolute()
    try:
        print("starting the embedded stack ...", file=sys.stderr)
        limits = options.chosen(arguments)
        with stacks.running(state_dir, shards=arguments.shards, limits=limits) as running:
            print(usage(running.stack, state_dir), flush=True)
            _watch(running)
    except (ChildError, stacks.StackRunningError) as error:
        print(f"bin/local: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    return 0


def _watch(running: Running) -> None:
    while True:
        running.check()
        time.sleep(0.5)
