"""Level `forks`: what many shard processes of one host take together, forked from one parent and each on its own.

Memory is proportional (PSS): a page that several processes share counts in parts, so that sums are what the host gives.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.backend import Backend, discarding
from tests.bench.cases import Case, usual_cases
from tests.bench.inputs import number_sum
from tests.bench.kcl import BenchError, Child, child_environment
from tests.bench.shard_level import MIB, check_arrived, environment_of
from tests.bench.usage import descendants, kilobytes

USUAL_SHARDS = (8,)
RECORDS = 4_000
_USUAL_RECORD_BYTES = 700
LAUNCHER = ("consumer.shard.process.launcher",)
_PATIENCE_SECONDS = 120.0


def measure(
    shards: Sequence[int], records: int, *, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each backend and number of shards, forked, and one of the fewest that start each on its own; raises
    BenchError when a record is lost."""
    rows: list[dict[str, Any]] = []
    with discarding(folder) as backend:
        for case in usual_cases(_USUAL_RECORD_BYTES, records):
            for take, count in ((_apart, min(shards)), *((_forked, count) for count in shards)):
                rows.append({"backend": case.backend, "shards": count, **take(case, backend, folder, count)})
                say(str(rows[-1]))
    return rows


def _forked(case: Case, backend: Backend, folder: Path, count: int) -> dict[str, Any]:
    environment = environment_of(case, backend, folder)
    with fork_server(folder, environment) as (server, path):
        alone = pss_bytes([server])
        launching = {**environment, "CONSUMER_FORK_SERVER": path}
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(Child(LAUNCHER, folder, launching)) for _ in range(count)]
            _work(children, case, backend)
            forked = list(descendants(server))
            if len(forked) != count:
                raise BenchError(f"{len(forked)} of {count} shard processes were forked")
            total = pss_bytes([server, *forked, *(child.pid for child in children)])
            for child in children:
                child.close()
    return _row("forked", count, total, alone)


def _apart(case: Case, backend: Backend, folder: Path, count: int) -> dict[str, Any]:
    environment = environment_of(case, backend, folder)
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(Child(case.program, folder, environment)) for _ in range(count)]
        _work(children, case, backend)
        total = pss_bytes([child.pid for child in children])
        for child in children:
            child.close()
    return _row("apart", count, total, 0)


def _work(children: Sequence[Child], case: Case, backend: Backend) -> None:
    """All records through each shard process, until they are delivered."""
    backend.behave()
    for child in children:
        child.initialize()
        for line in case.input.lines():
            child.call(line.text)
        child.end_shard()
    all_of_them = replace(case, input=replace(case.input, count=case.input.count * len(children)))
    expected = len(children) * sum(number_sum(line.records) for line in case.input.lines())
    check_arrived(all_of_them, backend, expected)


def _row(start: str, count: int, total: int, alone: int) -> dict[str, Any]:
    return {
        "start": start,
        "server_mib": round(alone / MIB, 1),
        "total_pss_mib": round(total / MIB, 1),
        "each_pss_mib": round((total - alone) / count / MIB, 1),
    }


def pss_bytes(pids: Sequence[int]) -> int:
    return 1024 * sum(kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") for pid in pids)


@contextlib.contextmanager
def fork_server(folder: Path, environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Its process id and the path of its socket, once it answers."""
    path = folder / "fork-server"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "consumer.shard.process.fork_server"],
            stdin=listener.fileno(),
            env=child_environment(environment),
        )
    try:
        _await(path)
        yield popen.pid, os.fspath(path)
    finally:
        popen.kill()
        popen.wait()


def only_forked(server: int) -> int:
    """The one shard process that a fork server has forked; raises BenchError."""
    pids = list(descendants(server))
    if len(pids) != 1:
        raise BenchError(f"{len(pids)} shard processes were forked, not one")
    return pids[0]


def _await(path: Path) -> None:
    """A launcher that gives up at once has its connection ended, as soon as the server has got so far."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE_SECONDS)
        try:
            connection.connect(os.fspath(path))
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        except OSError as error:
            raise BenchError(f"the fork server does not answer: {error}") from error
