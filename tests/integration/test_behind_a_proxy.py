"""The real KCL where nothing can be reached but by the proxy of the environment."""

import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumer.daemon.supervise.service import render_files
from consumer.daemon.supervise.state import locked
from consumer.local import stack as stacks
from consumer.local import tethered
from consumer.local.child import tail
from consumer.local.generate import Logs, midnight_today
from consumer.local.put import Target, put
from consumer.local.readback import S3Reader, dead_letters, records_named
from consumer.local.verify import Verifier
from consumer.settings import load
from tests.unit.sinks.bigquery.forward_proxy import ForwardProxy, forward_proxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DEADLINE_SECONDS = 150
HOSTS = ("kinesis.example", "dynamodb.example", "objects")
"""Names that only the proxy knows. One with a dot would be a bucket's for S3."""
KEYS = {"AWS_ACCESS_KEY_ID": "some", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with forward_proxy() as running:
        yield running


def test_the_kcl_does_not_ignore_https_proxy(
    proxy: ForwardProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    variables = {
        "HTTPS_PROXY": f"http://me:s%3Ac%40ret%22@{proxy.address}",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    for name, value in {**KEYS, **variables}.items():
        monkeypatch.setenv(name, value)
    chosen = {
        "s3.bucket": "bucket",
        "kinesisEndpoint": "https://kinesis.invalid",
        "dynamoDBEndpoint": "https://dynamodb.invalid",
        "worker.state_dir": str(tmp_path),
    }
    settings = load("s3", overrides=chosen)
    with locked(tmp_path, warn=print) as state, (tmp_path / "log").open("wb") as log:
        command = render_files(settings, state, {"PATH": "/usr/bin:/bin", **KEYS, **variables})
        assert "ret" not in " ".join(command.arguments)
        java = subprocess.Popen(command.arguments, env=dict(command.environment), stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not proxy.seen:
                assert java.poll() is None, tail(state.kcl_log)
                assert time.monotonic() < deadline, tail(state.kcl_log)
                time.sleep(0.2)
        finally:
            java.kill()
            java.wait()
    asked = proxy.seen[0]
    assert (asked.method, asked.target) == ("CONNECT", "dynamodb.invalid:443")
    assert asked.headers["proxy-authorization"] == "Basic bWU6czpjQHJldCI="


def test_everything_is_delivered_though_only_the_proxy_can_reach_anything(
    proxy: ForwardProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The SDK changes a tunnel to HTTP/2 in two threads, and loses a server's first frame that comes meanwhile, as it
    # does on loopback alone; then it waits for that frame until it gives up.
    proxy.delay_seconds = 0.5
    with stacks.running(tmp_path) as running:
        stack = running.stack
        logs = list(Logs(count=300, seed=4, base_time=midnight_today(datetime.now(UTC))).lines())
        put(logs, Target(stack.client("kinesis"), stack.stream))
        port = urlsplit(stack.aws_endpoint).port
        endpoints = ("kinesisEndpoint", "dynamoDBEndpoint", "s3.endpoint_url")
        chosen = {
            **stacks.overrides(stack, "s3"),
            **{key: f"http://{host}:{port}" for key, host in zip(endpoints, HOSTS, strict=True)},
            "chunk.window": "1s",
            "chunk.grace": "1s",
            "http.port": "0",
            "worker.state_dir": str(tmp_path / "state"),
        }
        variables = {**stacks.environment(stack), "HTTP_PROXY": proxy.url}
        log = tmp_path / "s3.log"
        with monkeypatch.context() as environment, log.open("wb") as output:
            for name, value in variables.items():
                environment.setenv(name, value)
            arguments = ("start", "s3", *(f"--set={key}={text}" for key, text in chosen.items()))
            daemon = tethered.spawn(*arguments, state_dir=tmp_path, stdout=output, stderr=output)
        try:
            reader = S3Reader(stack, "player-log/")
            deadline = time.monotonic() + DEADLINE_SECONDS
            while records_named(reader.keys()) < len(logs):
                assert daemon.poll() is None, tail(log)
                assert time.monotonic() < deadline, tail(log)
                time.sleep(0.5)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(60) == 0, tail(log)
        finally:
            daemon.kill()
            daemon.wait()
        result = Verifier(logs).s3(reader.lines(), dead_letters(()))
        assert result.clean, result
    tunnels = {asked.target for asked in proxy.seen if asked.method == "CONNECT"}
    assert tunnels == {f"{host}:{port}" for host in HOSTS[:2]}
    asked = {(one.method, urlsplit(one.target).hostname) for one in proxy.seen if one.method != "CONNECT"}
    assert {("PUT", HOSTS[2]), ("POST", HOSTS[0])} <= asked
