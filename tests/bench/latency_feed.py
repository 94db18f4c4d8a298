"""The two ends of level `latency`: records put at a rate, and looks at what the backend holds."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from consumer.local.generate import Logs, midnight_today
from consumer.local.stack import Stack
from tests.bench.kcl import BenchError
from tests.bench.latency import Counts, Moment

_CALL_SECONDS = 0.1
_LOOK_SECONDS = 0.05
_SHARE = 4
"""So many times as long as a look takes lies between the beginnings of two, since it takes what delivery needs."""
_RECORDS = 10**9


class _Repeated:
    """Something done in a thread for as long as a context lasts; a failure is kept for `check`."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nothing is done any more after this returns. Safe to repeat."""
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raises BenchError when it has failed."""
        if self._failure is not None:
            raise BenchError(f"{type(self).__name__}: {self._failure!r}") from self._failure

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            try:
                pause = self._once()
            except (BenchError, BotoCoreError, ClientError, OSError) as error:
                self._failure = error
                return
            # after a stall it goes on at its rate, and does not catch up
            due = max(due, began - 1) + pause

    def _once(self) -> float:
        """Returns the seconds from this beginning to the next."""
        raise NotImplementedError


class Feed(_Repeated):
    """Puts player logs, one call after the other, so that their order is that of the shard."""

    def __init__(self, stack: Stack, *, rate: float, lane_of: Callable[[str], str]) -> None:
        """`lane_of` tells the lane of a player."""
        super().__init__()
        self._client = stack.client("kinesis", retries={"total_max_attempts": 1}, read_timeout=30)
        self._stream = stack.stream
        self._lane_of = lane_of
        self._logs = _logs()
        self.rate = rate
        self.puts: list[tuple[Moment, Counts]] = []
        """The moments are those at which the calls began."""

    def _once(self) -> float:
        rate = self.rate
        batch = [next(self._logs) for _ in range(max(1, round(rate * _CALL_SECONDS)))]
        players = [json.loads(log)["player_id"] for log in batch]
        entries: list[dict[str, Any]] = [
            {"Data": log, "PartitionKey": player} for log, player in zip(batch, players, strict=True)
        ]
        began = time.monotonic()
        answer = self._client.put_records(StreamName=self._stream, Records=entries)
        if answer["FailedRecordCount"]:
            raise BenchError(f"{answer['FailedRecordCount']} records were refused by the stream")
        self.puts.append((began, Counter(map(self._lane_of, players))))
        return len(batch) / rate


class Looks(_Repeated):
    """Counts what a backend holds; a count is dated by its end, when it can be no longer than that ago."""

    def __init__(self, count: Callable[[], Counts]) -> None:
        super().__init__()
        self._count = count
        self.seen: list[tuple[Moment, Counts]] = [(time.monotonic(), {})]

    def latest(self) -> Counts:
        return self.seen[-1][1]

    def _once(self) -> float:
        began = time.monotonic()
        counts = self._count()
        ended = time.monotonic()
        self.seen.append((ended, counts))
        return max(_LOOK_SECONDS, _SHARE * (ended - began))


def _logs() -> Iterator[bytes]:
    return Logs(count=_RECORDS, seed=7, base_time=midnight_today(datetime.now(UTC))).lines()
