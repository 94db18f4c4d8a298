"""The embedded stack: AWS and BigQuery as child processes, and what a client needs to use them."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
import msgspec
from botocore.config import Config

from consumer.local.bill.layer import TOOL
from consumer.local.child import ROOT, ChildError, Process, tail
from consumer.local.limits.options import for_child
from consumer.local.limits.table import Limits
from consumer.local.loopback import without_proxy
from consumer.settings import jvm

REGION = "us-east-1"
STREAM = "player-logs"
BUCKET = "player-logs"
PROJECT = "local"
DATASET = "player_logs"

BIGQUERY_DATA = "bigquery"
"""The folder of the tables in a state directory."""

_START_SECONDS = 180
"""It takes seconds on a quiet machine, and more than a minute where many others work on it."""


class StackNotRunningError(Exception):
    """No embedded stack is running in the state directory."""


class StackRunningError(Exception):
    """An embedded stack is running in the state directory already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where a running stack answers; what `stack.json` holds."""

    aws_endpoint: str
    bigquery_endpoint: str
    bigquery_grpc: str
    region: str = REGION
    stream: str = STREAM
    bucket: str = BUCKET
    project: str = PROJECT
    dataset: str = DATASET
    pid: int = 0
    has_limits: bool = False

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client of the embedded AWS; `config` goes to botocore's Config."""
        return boto3.client(
            service,
            endpoint_url=self.aws_endpoint,
            region_name=self.region,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(user_agent_extra=TOOL, **config),
        )


def default_state_dir() -> Path:
    """CONSUMER_LOCAL_DIR, or var/local under the project root."""
    return Path(os.environ.get("CONSUMER_LOCAL_DIR") or ROOT / "var" / "local")


def load(state_dir: Path | None = None) -> Stack:
    """The stack running in the state directory. Raises StackNotRunningError."""
    path = (state_dir or default_state_dir()) / "stack.json"
    try:
        stack = msgspec.json.decode(path.read_bytes(), type=Stack)
    except (FileNotFoundError, msgspec.DecodeError):
        raise StackNotRunningError("no embedded stack is running; start one with: bin/local") from None
    if not Path(f"/proc/{stack.pid}").exists() and Path("/proc/self").exists():
        raise StackNotRunningError(
            f"the stack of {path} has ended (pid {stack.pid}); start one with: bin/local"
        )
    return stack


def environment(stack: Stack, access_key: str = "local") -> dict[str, str]:
    """What any AWS client needs in its environment to reach the stack, and to sign requests to it. The embedded Kinesis
    tells its readers apart by their access keys."""
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": stack.region,
        "AWS_DEFAULT_REGION": stack.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_GLUE": stack.aws_endpoint,
        "AWS_ENDPOINT_URL_STS": stack.aws_endpoint,
        **without_proxy(os.environ),
    }


#: The KCL's waits, cut for a stack that starts afresh and whose tables take any load. Not for production.
FAST_LEASES = {
    "failoverTimeMillis": "4000",
    "shardSyncIntervalMillis": "500",
    "leaseAssignmentIntervalMillis": "500",
    "parentShardPollIntervalMillis": "500",
    "idleTimeBetweenReadsInMillis": "250",
    "metricsLevel": "NONE",
    "shutdownGraceMillis": "15000",
}


def overrides(stack: Stack, backend: str) -> dict[str, str]:
    """The settings that point a backend ("s3" or "bigquery") at the stack."""
    common = {
        **FAST_LEASES,
        # both backends read a shard that gives five answers a second
        **({"idleTimeBetweenReadsInMillis": "500"} if stack.has_limits else {}),
        "streamName": stack.stream,
        "regionName": stack.region,
        "kinesisEndpoint": stack.aws_endpoint,
        "dynamoDBEndpoint": stack.aws_endpoint,
        "s3.endpoint_url": stack.aws_endpoint,
        "deadletter.bucket": stack.bucket,
        "log.format": "text",
        "jvm.options": f"{jvm.OPTIONS} -XX:TieredStopAtLevel=1 -Daws.cborEnabled=false",
    }
    own = {
        "s3": {"s3.bucket": stack.bucket},
        "bigquery": {
            "bigquery.project": stack.project,
            "bigquery.dataset": stack.dataset,
            "bigquery.api_endpoint": stack.bigquery_endpoint,
            "bigquery.storage_endpoint": f"http://{stack.bigquery_grpc}",
            "bigquery.credentials": "anonymous",
        },
    }
    return common | own[backend]


class Running:
    """A stack and the two processes behind it."""

    def __init__(self, stack: Stack, processes: list[Process]) -> None:
        self.stack = stack
        self._processes = processes

    def check(self) -> None:
        """Raises ChildError when a process has ended."""
        for process in self._processes:
            if process.ended():
                code = process.popen.returncode
                raise ChildError(f"{process.module} ended with code {code}\n{tail(process.log)}")


@contextlib.contextmanager
def running(
    state_dir: Path,
    *,
    shards: int = 2,
    deduplication_seconds: float = 60,
    leaves_tables: bool = False,
    limits: Limits | None = None,
) -> Iterator[Running]:
    """Start a fresh stack in `state_dir`, with its stream, bucket and dataset; stop it on the way out.

    Blocks a few seconds. Logs go to the state directory; with `leaves_tables` those of BigQuery stay there, too. With
    `limits` it limits as the real services do, and remembers insertIds for as long as they say. Raises
    StackRunningError or ChildError.
    Call it from the main thread: the processes end with the thread that started them.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(state_dir):
        data = state_dir / BIGQUERY_DATA
        shutil.rmtree(data, ignore_errors=True)
        arguments = (str(data), "--dataset", DATASET, "--deduplication-seconds", str(deduplication_seconds))
        own = for_child(limits)
        processes: list[Process] = []
        try:
            for module, *rest in (
                ("consumer.local.aws", *own),
                ("consumer.local.bigquery", *arguments, *own),
            ):
                log = state_dir / f"local-{module.rpartition('.')[2]}.log"
                log.unlink(missing_ok=True)
                processes.append(Process.spawn(module, *rest, log=log, environment=os.environ))
            aws, bigquery = (process.wait_ready(_START_SECONDS) for process in processes)
            stack = Stack(
                aws_endpoint=f"http://127.0.0.1:{aws['port']}",
                bigquery_endpoint=f"http://127.0.0.1:{bigquery['port']}",
                bigquery_grpc=f"127.0.0.1:{bigquery['grpc_port']}",
                pid=os.getpid(),
                has_limits=limits is not None,
            )
            _prepare(stack, shards)
            _write(stack, state_dir / "stack.json")
            yield Running(stack, processes)
        finally:
            (state_dir / "stack.json").unlink(missing_ok=True)
            _stop(processes)
            if not leaves_tables:
                shutil.rmtree(data, ignore_errors=True)


def _prepare(stack: Stack, shards: int) -> None:
    stack.client("s3").create_bucket(Bucket=stack.bucket)
    stack.client("kinesis").create_stream(StreamName=stack.stream, ShardCount=shards)


def _write(stack: Stack, path: Path) -> None:
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(asdict(stack), indent=2) + "\n")
    partial.replace(path)


def _stop(processes: list[Process]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.stop()


@contextlib.contextmanager
def _only_one(state_dir: Path) -> Iterator[None]:
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackRunningError(f"an embedded stack is running in {state_dir} already") from None
        yield
