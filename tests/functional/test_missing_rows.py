"""A replay into tables that hold its rows already, whichever method has written them, on the embedded BigQuery."""

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.positions import ensure_table
from consumer.daemon.prepare.preparation import NotReady, Patience, prepare
from consumer.daemon.report.log import Log
from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import ShareGuard, ShareLimit
from consumer.domain.errors import TransientError
from consumer.domain.records import Record
from consumer.local import stack as stacks
from consumer.local.stack import Stack
from consumer.settings import Settings, load
from consumer.sinks.bigquery.api.connection import HttpConnection
from consumer.sinks.bigquery.load.build import queries_of
from consumer.sinks.build import ShardContext, sink_module

pytestmark = pytest.mark.timeout(300)

SHARD = "shardId-000000000007"
NOW_MS = int(time.time() * 1000)
COUNT = 300


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stacks.running(tmp_path_factory.mktemp("missing"), deduplication_seconds=0) as running:
        yield running.stack


@pytest.fixture(autouse=True)
def credentials(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stacks.environment(stack).items():
        monkeypatch.setenv(name, value)


class Tables:
    """Those of one application, and what stands in them by identity."""

    def __init__(self, stack: Stack, method: str) -> None:
        self._stack = stack
        self._prefix = f"missing_{method}"
        self._method = method

    def settings(self, **changes: str) -> Settings:
        own = {
            "applicationName": self._prefix,
            "bigquery.method": self._method,
            "bigquery.table_prefix": self._prefix,
            "bigquery.metadata_columns": "true",
            "bigquery.key_digits": "0",
        }
        return load("bigquery", overrides={**stacks.overrides(self._stack, "bigquery"), **own, **changes})

    def make(self) -> None:
        settings = self.settings()
        patience = Patience(timeout_seconds=60, monotonic=time.monotonic, pause=lambda s: False, tell=print)
        log = Log(backend="bigquery", level="ERROR", clock=time.time, write=lambda line: None)
        tables = BigQueryTables(settings)
        tables.ensure_dataset()
        prepare(tables.table_steps(), patience=patience, log=log)
        if self._method == "storage_write":
            try:
                ensure_table(settings)
            except NotReady:
                ensure_table(settings)

    def sink(self, *, is_replay: bool, **changes: str) -> Any:
        settings = self.settings(**changes)
        context = ShardContext(
            settings=settings,
            shard=SHARD,
            start=None,
            is_replay=is_replay,
            new_guard=partial(ShareGuard, ShareLimit(1.0, 1000)),
            sleep=lambda seconds: None,
        )
        return sink_module(settings).build(context)

    def replay(self) -> Any:
        return self.sink(is_replay=True, **{"bigquery.method": "load", "bigquery.load_job_prefix": "again"})

    def ask(self, sql: str) -> list[str | None]:
        settings = self.settings()
        queries = queries_of(settings, HttpConnection.of(settings))
        place = f"`{settings.text('bigquery.project')}.{settings.text('bigquery.dataset')}.{self._prefix}`"
        return [row[0] for row in queries.rows("", sql.replace("TABLE", place), {})]

    def identities(self) -> Counter[str | None]:
        return Counter(self.ask("SELECT _sequence_number FROM TABLE"))

    def delete(self, numbers: range) -> None:
        listed = ", ".join(f"'{sequence(number)}'" for number in numbers)
        self.ask(f"DELETE FROM TABLE WHERE _sequence_number IN ({listed})")


def sequence(number: int) -> str:
    return f"{49 * 10**54 + number}"


def chunk() -> Chunk:
    """Some records of a KPL aggregate among them, times of three days, one without a time, and a bad one."""
    payloads = [
        b'{"player_id":"%x","time":"2026-01-0%dT10:00:00.%03dZ","n":%d}'
        % (number % 16, 1 + number % 3, number, number)
        for number in range(COUNT)
    ]
    payloads[5] = b'{"player_id":"5","n":5}'
    payloads[6] = b"no json"
    arrived = 1_767_300_000_000
    return Chunk(
        Records.of(
            Record(
                payload,
                "key",
                sequence(number if number < 290 else 290),
                0 if number < 290 else number - 290,
                arrived + number,
            )
            for number, payload in enumerate(payloads)
        )
    )


def send(sink: Any) -> int:
    """All of the chunk, as delivery does; the number of load jobs."""
    pending = list(sink.prepare(chunk()).requests)
    jobs = 0
    while pending:
        outcome = sink.send(pending.pop(0))
        assert not outcome.rejections
        pending += outcome.again
        jobs += outcome.counts.get("load_jobs", 0)
    return jobs


@pytest.mark.parametrize("method", ["insert_all", "storage_write", "load"])
def test_a_replay_adds_no_row_and_brings_back_those_that_are_gone(stack: Stack, method: str) -> None:
    """I3: a row's identity is the same by every method."""
    tables = Tables(stack, method)
    tables.make()
    send(tables.sink(is_replay=False))
    written = tables.identities()
    assert written.total() == len(written) == COUNT - 1

    assert send(tables.replay()) == 0
    assert tables.identities() == written

    tables.delete(range(100, 140))
    assert tables.identities().total() == COUNT - 41
    assert send(tables.replay()) == 1
    assert tables.identities() == written

    assert send(tables.replay()) == 0
    tables.delete(range(100, 140))  # once more: the jobs that brought these rows back are still known
    assert send(tables.replay()) == 1
    assert tables.identities() == written


def test_into_empty_tables_all_is_loaded_once_though_an_answer_is_lost(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Tables(stack, "load")
    tables._prefix = "missing_elsewhere"
    tables.make()
    original = HttpConnection.request
    lost: list[str] = []

    def request(self: HttpConnection, method: str, path: str, *rest: Any, **named: Any) -> Any:
        answer = original(self, method, path, *rest, **named)
        if "/upload/" in path and not lost:
            lost.append(path)
            raise TransientError("lost")
        return answer

    monkeypatch.setattr(HttpConnection, "request", request)
    sink = tables.replay()
    [request] = sink.prepare(chunk()).requests
    with pytest.raises(TransientError):
        sink.send(request)
    assert not sink.send(request).again
    found = tables.identities()
    assert found.total() == len(found) == COUNT - 1
