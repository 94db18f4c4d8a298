"""A supervisor with real shard processes, under a JVM and a backend that do what a test says, and what it shows."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from consumer.daemon.metrics.metric import COMMON_LABELS
from consumer.settings import Backend
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.daemon import Daemon
from tests.functional.harness.kcl import SAFETY_SECONDS, Message, payload, record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import bigquery_overrides, s3_overrides
from tests.functional.harness.told_jvm import ToldJvm, ToldJvms, ToldShard
from tests.unit.daemon.metric_readers import series

SHARD = "shardId-000000000001"
_AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the port of a daemon shows at a moment: the answer of /healthz, and the series of /metrics as they stand
    there, but for the labels that all have. Without an answer `code` is None, and all else empty."""

    at: float
    code: int | None = None
    state: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def value(self, metric: str) -> float:
        """Of a series, or without labels the sum of all that the metric has."""
        if metric in self.metrics:
            return self.metrics[metric]
        return sum(value for name, value in self.metrics.items() if name.partition("{")[0] == metric)


def as_text(name: str, labels: tuple[tuple[str, str], ...]) -> str:
    """A series as /metrics spells it."""
    written = ",".join(f'{label}="{value}"' for label, value in labels if label not in COMMON_LABELS)
    return f"{name}{{{written}}}" if written else name


def _not_zero(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value and "latency" not in name}


def fresh(number: int, data: bytes | None = None) -> Message:
    """A record that has just arrived."""
    data = payload(number) if data is None else data
    return record(number, data, arrival_ms=int(time.time() * 1000))


class Stage:
    """`settings` and `environment` are the daemon's, the latter as supervise.py reads it. Files that it names are of
    `file`."""

    def __init__(
        self,
        folder: Path,
        s3: S3Stub,
        bigquery: BigQueryStub,
        *,
        backend: Backend,
        settings: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.jvm: ToldJvm
        self.shard: ToldShard
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._port: int = listener.getsockname()[1]
        self.jvms = ToldJvms(folder)
        backends = s3_overrides(s3) if backend == "s3" else bigquery_overrides(bigquery, s3)
        own = {"worker.state_dir": str(folder / "state"), "http.port": str(self._port), "jvm.options": ""}
        self.settings = {**backends, **own, **settings}
        self.daemon = Daemon.supervised(
            self.jvms.java,
            *(f"{key}={value}" for key, value in self.settings.items()),
            **{**_AWS, "BACKEND": backend, "LOG": "json", **self.jvms.environment, **(environment or {})},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.__exit__()
        self.jvms.__exit__()

    def file(self, name: str) -> Path:
        return self.folder / name

    def start(self) -> None:
        """Until the next JVM runs."""
        self.jvm = self.jvms.next()
        self.daemon.pids.append(self.jvm.pid)

    def open(self, shard: str = SHARD) -> ToldShard:
        """Until its process has told of itself; it is at the tip of an empty shard."""
        shards = self.look().value("consumer_shards")
        opened = self.jvm.open(shard)
        self.daemon.pids.append(opened.pid)
        opened.process([], behind_ms=0)
        self.until(lambda look: look.value("consumer_shards") == shards + 1)
        return opened

    # What shows

    def look(self) -> Look:
        try:
            code, health = self._ask("/healthz")
            _, text = self._ask("/metrics")
        except (OSError, http.client.HTTPException):
            return Look(at=time.time())
        metrics = {as_text(*key): value for key, value in series(text).items()}
        return Look(at=time.time(), code=code, state=json.loads(health)["state"], metrics=metrics)

    def until(self, fits: Callable[[Look], bool]) -> Look:
        deadline = time.monotonic() + SAFETY_SECONDS
        while not fits(found := self.look()):
            assert time.monotonic() < deadline, (found.state, found.code, _not_zero(found.metrics))
            time.sleep(0.05)
        return found

    def wait_for_event(self, name: str) -> None:
        """Until the log has told of it, now or before."""
        if name not in (line["event"] for line in self.logged()):
            self.daemon.line(f'"event":"{name}"')

    def logged(self) -> list[dict[str, Any]]:
        """What has been read of the log."""
        return [json.loads(line) for line in self.daemon.lines if line.startswith("{")]

    def _ask(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SAFETY_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
