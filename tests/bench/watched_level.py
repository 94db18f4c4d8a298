"""Level `watched`: what it costs a shard process at full speed to be watched: by nobody, by its supervisor, by a tap as
well."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from consumer.domain.names import EVENTS_VARIABLE, TAPS_FOLDER
from consumer.domain.taps import REQUEST_SUFFIX, SOCKET_SUFFIX, TapRequest, encode_request
from tests.bench.backend import discarding
from tests.bench.cases import Target, usual_case
from tests.bench.kcl import BenchError
from tests.bench.programs import WATCHED_VARIABLE
from tests.bench.shard_level import Run, cpu_per_million, run

WATCHERS = ("nobody", "its supervisor", "its supervisor and a tap")
RECORD_BYTES = 700
TAP_RATE = 10.0
_HOUR_MS = 3_600_000


def measure(
    targets: Sequence[Target], records: int, *, runs: int, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each target and watcher, who take turns. Raises BenchError."""
    rows = []
    with discarding(folder) as backend:
        for target in targets:
            case = usual_case(target, RECORD_BYTES, records)
            costs: dict[str, list[float]] = {watcher: [] for watcher in WATCHERS}
            shares: dict[str, list[float]] = {watcher: [] for watcher in WATCHERS}
            for number in range(runs):
                for watcher in WATCHERS[:: -1 if number % 2 else 1]:
                    written = folder / "watched"
                    with watching(watcher, folder) as environment:
                        done = run(
                            case,
                            backend,
                            folder,
                            program=("tests.bench.programs.watched",),
                            environment={**environment, WATCHED_VARIABLE: str(written)},
                        )
                    costs[watcher].append(cpu_per_million(case, done))
                    shares[watcher].append(100 * _share(json.loads(written.read_text()), done))
                    say(
                        f"run {number + 1} of {runs}: {case.backend}, {case.name}, watched by {watcher}:"
                        f" {costs[watcher][-1]:.2f} CPU s per million, {shares[watcher][-1]:.3f} % of them for that"
                    )
            rows += [
                {
                    "backend": case.backend,
                    "format": case.name,
                    "watched_by": watcher,
                    "watching_percent": round(median(shares[watcher]), 3),
                    "most_watching_percent": round(max(shares[watcher]), 3),
                    "cpu_seconds_per_million": round(median(costs[watcher]), 2),
                    "beside_nobody_percent": _beside(costs[watcher], costs[WATCHERS[0]]),
                    "cpu_seconds_per_million_of_runs": [round(cost, 2) for cost in costs[watcher]],
                }
                for watcher in WATCHERS
            ]
    return rows


def _share(spent: Mapping[str, float], done: Run) -> float:
    """Of a processor that the shard process has for itself: what is told every second takes no more on a busy machine,
    which does less of everything else meanwhile."""
    return spent["counting"] / done.cost.cpu_seconds + spent["telling"] / done.seconds


def _beside(costs: Sequence[float], alone: Sequence[float]) -> float:
    """How much more, by the median of the pairs."""
    return round(100 * (median(one / other for one, other in zip(costs, alone, strict=True)) - 1), 1)


@contextmanager
def watching(watcher: str, folder: Path) -> Iterator[Mapping[str, str]]:
    """The environment of a shard process that is watched so, whose settings are in the folder. Raises BenchError when
    it has said nothing."""
    if watcher == WATCHERS[0]:
        yield {}
        return
    events = folder / "events"
    with ExitStack() as stack:
        heard = [stack.enter_context(_reading(events))]
        if watcher == WATCHERS[2]:
            taps = folder / TAPS_FOLDER
            taps.mkdir(exist_ok=True)
            heard.append(stack.enter_context(_reading(taps / f"bench{SOCKET_SUFFIX}")))
            until_ms = int(time.time() * 1000) + _HOUR_MS
            request = taps / f"bench{REQUEST_SUFFIX}"
            request.write_bytes(encode_request(TapRequest(rate=TAP_RATE, until_ms=until_ms)))
            stack.callback(request.unlink)
        yield {EVENTS_VARIABLE: str(events)}
        if not all(heard):
            raise BenchError("the shard process has said nothing to who watched it")


@contextmanager
def _reading(path: Path) -> Iterator[list[int]]:
    """Takes the datagrams that come to a path of at most 107 bytes, and keeps their sizes."""
    sizes: list[int] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))

        def read() -> None:
            while size := len(listener.recv(1 << 20)):
                sizes.append(size)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield sizes
        finally:
            listener.shutdown(socket.SHUT_RD)
            reader.join()
            path.unlink()
