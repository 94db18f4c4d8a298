"""`bin/local sql` and `bin/local s3`: look at what the backends hold, on a stack that runs or as a demo has left it."""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from consumer.local import stack as stacks
from consumer.local.child import ChildError, Process
from consumer.local.objects import lines_of_object
from consumer.local.stack import DATASET, PROJECT, Stack, StackNotRunningError

_DEMO = "demo"
_OBJECTS = "objects"
_START_SECONDS = 60
_ONCE = Retry(predicate=lambda error: False)


class LookError(Exception):
    """There is nothing of that name; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of a bucket; `size` in bytes."""

    key: str
    size: int
    modified: datetime

    def __str__(self) -> str:
        return f"{self.modified.astimezone(UTC):%Y-%m-%d %H:%M:%S} {self.size:>10} {self.key}"


class Held(Protocol):
    """What the backends hold."""

    def objects(self, prefix: str) -> Iterator[Listed]:
        """In the order of their keys."""

    def content(self, key: str) -> bytes:
        """As it is stored. Raises LookError."""

    def bigquery_endpoint(self) -> contextlib.AbstractContextManager[str]:
        """The URL of BigQuery's REST API, within the block."""


class OnStack:
    """On a stack that runs."""

    def __init__(self, stack: Stack) -> None:
        self._client = stack.client("s3")
        self._stack = stack

    def objects(self, prefix: str) -> Iterator[Listed]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._stack.bucket, Prefix=prefix
        )
        for entry in (entry for page in pages for entry in page.get("Contents", ())):
            yield Listed(entry["Key"], entry["Size"], entry["LastModified"])

    def content(self, key: str) -> bytes:
        try:
            body: bytes = self._client.get_object(Bucket=self._stack.bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey:
            raise LookError(_no_object(key)) from None
        return body

    def bigquery_endpoint(self) -> contextlib.AbstractContextManager[str]:
        return contextlib.nullcontext(self._stack.bigquery_endpoint)


class Leavings:
    """In the folder of a demo that has ended: objects as files, and BigQuery's tables, for which it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def objects(self, prefix: str) -> Iterator[Listed]:
        root = self._folder / _OBJECTS
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            key, facts = str(path.relative_to(root)), path.stat()
            if key.startswith(prefix):
                yield Listed(key, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))

    def content(self, key: str) -> bytes:
        if not any(listed.key == key for listed in self.objects(key)):
            raise LookError(_no_object(key))
        return (self._folder / _OBJECTS / key).read_bytes()

    @contextlib.contextmanager
    def bigquery_endpoint(self) -> Iterator[str]:
        log = self._folder / "local-bigquery.log"
        arguments = (str(self._folder / stacks.BIGQUERY_DATA), "--dataset", DATASET)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of two that look, the second waits
            process = Process.spawn("consumer.local.bigquery", *arguments, log=log, environment=os.environ)
            try:
                yield f"http://127.0.0.1:{process.wait_ready(_START_SECONDS)['port']}"
            finally:
                process.stop()


def leave(stack: Stack, folder: Path) -> int:
    """Keep the objects of a stack in the folder of its state, where BigQuery's tables are; then `bin/local` finds them
    once the stack has ended. What the demo before has left is removed. Returns the bytes of the objects."""
    held, size = OnStack(stack), 0
    for listed in held.objects(""):
        path = folder / _OBJECTS / listed.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(held.content(listed.key))
        os.utime(path, (listed.modified.timestamp(),) * 2)
        size += listed.size
    link = stacks.default_state_dir() / _DEMO
    link.parent.mkdir(parents=True, exist_ok=True)
    former = link.resolve() if link.is_symlink() else None
    fresh = link.with_name(f"{_DEMO}.{os.getpid()}")
    fresh.symlink_to(folder.absolute())
    fresh.replace(link)
    if former is not None and former != folder.resolve():
        shutil.rmtree(former, ignore_errors=True)
    return size


def held(state_dir: Path) -> Held:
    """The stack that runs in a state directory, or else what a demo has left there. Raises StackNotRunningError."""
    try:
        return OnStack(stacks.load(state_dir))
    except StackNotRunningError:
        for folder in (state_dir, state_dir / _DEMO):
            if (folder / _OBJECTS).is_dir():
                print(f"bin/local: looking at what bin/demo has left in {folder.resolve()}", file=sys.stderr)
                return Leavings(folder.resolve())
        raise StackNotRunningError(
            f"no embedded stack is running in {state_dir}, and no demo has left anything there;"
            " start one with bin/local, or run bin/demo"
        ) from None


def lines_of(source: Held, key: str) -> bytes:
    """An object's content as lines, whatever its format. Raises LookError."""
    return lines_of_object(source.content(key.removeprefix(f"s3://{stacks.BUCKET}/")))


def answer_of(source: Held, sql: str) -> tuple[list[str], list[list[Any]]]:
    """The names of the columns and the rows of a query; tables need no dataset. Raises LookError."""
    dataset = f"{PROJECT}.{DATASET}"
    with source.bigquery_endpoint() as endpoint:
        client = bigquery.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options=ClientOptions(api_endpoint=endpoint),
        )
        with client:
            try:
                rows = client.query_and_wait(
                    sql, job_config=bigquery.QueryJobConfig(default_dataset=dataset), retry=_ONCE
                )
                return [field.name for field in rows.schema], [list(row.values()) for row in rows]
            except NotFound as error:
                tables = sorted(table.table_id for table in client.list_tables(dataset))
                there = f"there are {tables[0]} to {tables[-1]}" if tables else "no table is there yet"
                raise LookError(f"{_said(error)}; {there}") from error
            except GoogleAPIError as error:
                raise LookError(_said(error)) from error


def _said(error: GoogleAPIError) -> str:
    """BigQuery's own words, without the request."""
    details = getattr(error, "errors", None) or [{}]
    return str(details[0].get("message") or error)


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A line for the names and one for each row, in columns."""
    texts = [list(names), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in texts]


def _cell(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds")
        case date() | time_of_day() | Decimal() | str():
            return str(value)
        case bytes():
            return value.hex()
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _no_object(key: str) -> str:
    return f'no object "{key}"; bin/local s3 ls lists them'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/local", description=__doc__)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--state-dir",
        type=Path,
        default=stacks.default_state_dir(),
        help="of the stack or the demo (default: $CONSUMER_LOCAL_DIR or var/local)",
    )
    services = parser.add_subparsers(dest="service", required=True)
    sql = services.add_parser("sql", parents=[where], help="ask BigQuery", description="Asks BigQuery.")
    sql.add_argument("query", help="in GoogleSQL; tables are those of the dataset, such as player_log_0")
    sql.add_argument("--json", action="store_true", help="one JSON object a row")
    s3 = services.add_parser("s3", help="look into the bucket", description="Looks into the bucket.")
    actions = s3.add_subparsers(dest="action", required=True)
    ls = actions.add_parser("ls", parents=[where], help="list the objects")
    ls.add_argument("prefix", nargs="?", default="", help="of their keys")
    cat = actions.add_parser("cat", parents=[where], help="print an object, unpacked")
    cat.add_argument("key")
    return parser


def look_main(argv: Sequence[str]) -> int:
    """`bin/local sql` and `bin/local s3`: exit 0, or 1 where there is nothing to look at."""
    options = _parser().parse_args(argv)
    try:
        source = held(options.state_dir)
        for piece in _pieces(options, source):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # of head, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (LookError, StackNotRunningError, ChildError) as error:
        print(f"bin/local: {error}", file=sys.stderr)
        return 1
    return 0


def _pieces(options: argparse.Namespace, source: Held) -> Iterator[bytes]:
    if options.service == "sql":
        names, rows = answer_of(source, options.query)
        made = [json.dumps(dict(zip(names, row, strict=True)), default=_cell) for row in rows]
        yield from (f"{line}\n".encode() for line in (made if options.json else table(names, rows)))
    elif options.action == "ls":
        yield from (f"{listed}\n".encode() for listed in source.objects(options.prefix))
    else:
        yield lines_of(source, options.key)
