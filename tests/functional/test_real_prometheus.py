"""A real Prometheus scrapes both backends of a host, with 64 shards each, and evaluates the rules of deploy."""

import json
import shutil
import socket
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from consumer.settings import BACKENDS, PROJECT_ROOT, Backend
from tests.functional.harness.alarms import NO_PROMTOOL, RULES
from tests.functional.harness.daemon import DEADLINE_SECONDS, FUNCTIONAL, Daemon

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason=f"prometheus or {NO_PROMTOOL}",
)

SHARDS = 64
SCRAPE_BYTES = 100_000
SCRAPES = 5
OVER = f"[{SCRAPES * 60}s]"
"""All there are."""


class Prometheus:
    """One that runs, and scrapes once a second."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **query: str) -> Any:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> dict[str, float]:
        """By backend."""
        found = self.ask("query", query=expression)["result"]
        return {one["metric"]["backend"]: float(one["value"][1]) for one in found}

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=DEADLINE_SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def scraped(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_SECONDS) as answer:
        body: bytes = answer.read()
        return body


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[dict[Backend, int]]:
    """Of the daemons of both backends, each with all of its shards."""
    java = tmp_path / "java"
    java.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FUNCTIONAL / "crowd_java.py"}" "$@"\n')
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    found: dict[Backend, int] = {}
    bigquery = ("deadletter.bucket=bucket", "bigquery.project=project", "bigquery.dataset=dataset")
    with ExitStack() as stack:
        for backend in BACKENDS:
            port = found[backend] = free_port()
            own = (f"worker.state_dir={tmp_path}", f"http.port={port}", "jvm.options=")
            more = bigquery if backend == "bigquery" else ()
            daemon = Daemon.supervised(java, *own, *more, BACKEND=backend, CROWD=str(SHARDS))
            stack.enter_context(daemon)
            daemon.pids.append(int(daemon.line(r"jvm=(\d+)")[1]))
            until(lambda port=port: f"}} {SHARDS}.0\n# HELP consumer_shards_held" in scraped(port).decode())  # type: ignore[misc]
        yield found


@pytest.fixture
def prometheus(ports: dict[Backend, int], tmp_path: Path) -> Iterator[Prometheus]:
    targets = [f"127.0.0.1:{port}" for port in ports.values()]
    scrape = {
        "job_name": "consumer",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": targets}],
    }
    configuration = tmp_path / "prometheus.json"  # JSON is YAML
    configuration.write_text(
        json.dumps(
            {
                "global": {"evaluation_interval": "1s"},
                "rule_files": [str(RULES)],
                "scrape_configs": [scrape],
            }
        )
    )
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=extra-scrape-metrics",
    ]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=log, stderr=log)
    try:
        running = Prometheus(port)
        until(running.is_ready)
        yield running
    finally:
        process.kill()
        process.wait()


def test_a_real_prometheus_scrapes_64_shards_of_each_backend(
    ports: dict[Backend, int], prometheus: Prometheus
) -> None:
    scrapes = f"count_over_time(consumer_shards{OVER})"
    until(lambda: min(prometheus.value(scrapes).get(backend, 0) for backend in BACKENDS) >= SCRAPES)

    assert prometheus.value("consumer_shards") == dict.fromkeys(BACKENDS, SHARDS)
    freshness = "count by (backend) (consumer_shard_freshness_seconds)"
    assert prometheus.value(freshness) == dict.fromkeys(BACKENDS, SHARDS)
    assert prometheus.value(f"min_over_time(consumer_conservation_records{OVER})") == dict.fromkeys(
        BACKENDS, 0
    )
    grown = prometheus.value(f"increase(consumer_records_read_total{OVER})")
    assert min(grown.values()) > 0

    targets = prometheus.ask("targets")["activeTargets"]
    assert [(one["health"], one["lastError"]) for one in targets] == [("up", "")] * len(BACKENDS)
    every = prometheus.ask("query", query=f"min_over_time(up{OVER})")["result"]
    assert [one["value"][1] for one in every] == ["1"] * len(BACKENDS)
    sizes = prometheus.ask("query", query=f"max_over_time(scrape_body_size_bytes{OVER})")["result"]
    assert len(sizes) == len(BACKENDS)
    assert max(float(one["value"][1]) for one in sizes) < SCRAPE_BYTES
    for name in ("scrape_body_size_bytes", "scrape_duration_seconds", "scrape_samples_scraped"):
        found = prometheus.ask("query", query=f"max_over_time({name}{OVER})")["result"]
        print(name, [float(one["value"][1]) for one in found])  # shown by -rP

    (group,) = prometheus.ask("rules")["groups"]
    until(lambda: {one["health"] for one in prometheus.ask("rules")["groups"][0]["rules"]} == {"ok"})
    assert {one["state"] for one in group["rules"]} == {"inactive"}


def test_promtool_finds_nothing_in_what_is_scraped(ports: dict[Backend, int]) -> None:
    for port in ports.values():
        found = subprocess.run(
            ["promtool", "check", "metrics"], input=scraped(port), capture_output=True, check=False
        )
        assert (found.stdout + found.stderr, found.returncode) == (b"", 0)
