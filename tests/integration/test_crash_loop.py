"""A crash loop of the real KCL by storage_write, under Google's limits: it stays within the quota of new streams, and
every record is there once."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from consumer.local import stack as stacks
from consumer.local.child import tail
from consumer.local.generate import Logs
from consumer.local.limits import control
from consumer.local.limits.table import LIMITS, Limits
from tests.chaos.feed import feeding
from tests.chaos.holdings import Holdings
from tests.chaos.journal import Fed, Sort
from tests.chaos.processes import send_all
from tests.chaos.workers import Worker
from tests.chaos.world import effective, settings_of

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(3600)]

STARTS, SHARDS, TABLES = 20, 8, 16
RATE = 30
PLAYERS = 400
"""Enough of them that every table has some."""
SETTINGS = {
    "bigquery.method": "storage_write",
    "chunk.window": "8s",
    # the embedded service commits each of 128 appends by itself
    "bigquery.read_timeout": "60s",
    # a busy machine must not lose leases: whoever reads a shard then opens its streams once more
    "failoverTimeMillis": "20000",
}
START_SECONDS = 600
DRAIN_SECONDS = 600
CREATES = "storage_write.creates"


def records() -> Iterator[Fed]:
    logs = Logs(count=10**9, seed=3, base_time=datetime(2026, 1, 1, tzinfo=UTC), players=PLAYERS)
    for number, line in enumerate(logs.lines()):
        yield Fed(number, f"3-{number:010d}", Sort.LOG, line)


def test_twenty_starts_of_eight_shards_stay_within_the_quota_of_streams(tmp_path: Path) -> None:
    """Each life ends by SIGKILL once every shard has a stream of its own for each table: in turn of the JVM, which its
    supervisor starts again, and of the supervisor and all below it."""
    chosen = settings_of(SETTINGS)
    with stacks.running(tmp_path, shards=SHARDS, limits=Limits()) as running:
        stack = running.stack
        holdings = Holdings(stack, effective(stack, chosen))
        worker = Worker(backend="bigquery", name="a", stack_dir=tmp_path, settings=chosen["bigquery"])

        def limits() -> Mapping[str, Mapping[str, Any]]:
            found: dict[str, dict[str, Any]] = control.report(stack.bigquery_endpoint)["limits"]
            return found

        def created() -> int:
            return int(limits().get(CREATES, {"counted": 0})["counted"])

        def until(reached: Callable[[], bool], seconds: float) -> None:
            deadline = time.monotonic() + seconds
            while not reached():
                running.check()
                assert not worker.ended(), tail(worker.log)
                assert time.monotonic() < deadline, tail(worker.log)
                time.sleep(0.1)

        streams, moments = [0], [time.monotonic()]
        try:
            worker.start()
            with feeding(stack, records(), rate=RATE) as feed:
                for start in range(STARTS):
                    wanted = streams[-1] + SHARDS * TABLES
                    until(lambda: created() >= wanted, START_SECONDS)  # noqa: B023 - called within the iteration
                    whole = worker.processes()
                    jvm = worker.jvm()
                    assert jvm is not None
                    victims = whole if start % 2 else [jvm]
                    send_all(victims, signal.SIGKILL)
                    if start % 2:
                        assert worker.popen is not None
                        worker.popen.wait()
                        worker.start()
                    streams.append(created())
                    moments.append(time.monotonic())
            until(lambda: holdings.count("bigquery") >= feed.journal.expected("bigquery"), DRAIN_SECONDS)
        finally:
            worker.abandon()
        tally = holdings.tally("bigquery", feed.journal)
        found = limits()
    print(
        f"\n{STARTS} starts of {SHARDS} shards in {moments[-1] - moments[0]:.0f} s, each"
        f" {min(b - a for a, b in pairwise(moments)):.0f} to {max(b - a for a, b in pairwise(moments)):.0f} s;"
        f" {found[CREATES]['counted']:.0f} streams of {found[CREATES]['limit']:.0f} in"
        f" {found[CREATES]['seconds']:.0f} s, {min(b - a for a, b in pairwise(streams))} to"
        f" {max(b - a for a, b in pairwise(streams))} a start, at most"
        f" {found['storage_write.fast_creates']['most']:.0f} in a second; {tally}"
    )
    assert found[CREATES]["limit"] == next(limit.value for limit in LIMITS if limit.name == CREATES)
    assert found[CREATES]["refused"] == 0
    assert STARTS * SHARDS * TABLES <= found[CREATES]["most"] <= found[CREATES]["limit"]
    assert moments[-1] - moments[0] < found[CREATES]["seconds"], "not all of it counted against one hour"
    assert tally.clean, tally
    assert tally.delivered == tally.acknowledged > math.prod((STARTS, SHARDS, TABLES)), tally
