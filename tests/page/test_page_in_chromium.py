"""The status page as Chromium shows it, through what an operator has to see there: the figures move, the state is right
within seconds, nothing is written to the console, and axe-core finds nothing.

It needs chromium, chromedriver and axe-core (browser.py). With PAGE_SHOTS=FOLDER each scene is kept as PNG, in three
widths and in the dark.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consumer.local import backends, loopback, tethered
from consumer.local import stack as stacks
from consumer.local.backends import Running
from consumer.local.faults.control import FaultControl
from consumer.local.faults.rules import Answer, Rule
from consumer.local.stack import Stack
from consumer.settings import PROJECT_ROOT
from tests.page.browser import Browser, chromium, missing

pytestmark = [
    pytest.mark.tools,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

_SECONDS = 180
"""For what the daemon has to notice first."""
_SHOWS_SECONDS = 5.0
"""From the moment at which /status.json says so until the page does."""
_SETTINGS = {
    "chunk.window": "2s",
    "chunk.grace": "1s",
    "checkpoint.interval": "2s",
    "hold.unhealthy_after": "5s",
    "health.unread_after": "1s",
    "failoverTimeMillis": "2000",
    "deadletter.max_ratio": "0.3",
    "supervisor.restart_base": "30s",
}
_WIDTHS = (360, 768, 1280)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def look_at(browser: Browser, name: str) -> None:
    """At what is shown, in every form."""
    for width in _WIDTHS:
        browser.look(width=width)
        wide, window = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= window, f"{name} at {width} px is {wide} px wide"
        _keep(browser, f"{name}-{width}")
    assert browser.faults() == []
    browser.look(width=1280, dark=True)
    assert browser.faults() == []
    _keep(browser, f"{name}-dark")
    browser.look(width=1280)
    assert browser.console() == []


def _keep(browser: Browser, name: str) -> None:
    if folder := os.environ.get("PAGE_SHOTS"):
        browser.shot(Path(folder) / f"{name}.png")


@dataclass
class World:
    """Both backends on a stack of their own, fed with some records a second, and a browser that has the page of one of
    them open."""

    stack: Stack
    running: list[Running]
    ports: dict[str, int]
    folder: Path
    browser: Browser
    bad: threading.Event = field(default_factory=threading.Event)

    def told(self, backend: str = "s3") -> dict[str, Any]:
        """What status.json of the daemon says; empty before there is one."""
        for path in (self.folder / "workers").glob(f"*{backend}*/status.json"):
            return json.loads(path.read_bytes())  # type: ignore[no-any-return]
        return {}

    def until_told(self, fits: Callable[[dict[str, Any]], bool], backend: str = "s3") -> None:
        deadline = time.monotonic() + _SECONDS
        while not fits(told := self.told(backend) or {"reasons": [], "shards": [], "phase": "", "jvm": {}}):
            assert time.monotonic() < deadline, told
            time.sleep(0.1)

    def until_shown(self, selector: str, text: str, seconds: float = _SHOWS_SECONDS) -> None:
        """That long, and no longer, may the page take."""
        deadline = time.monotonic() + seconds
        while text not in (shown := self.browser.text(selector)):
            assert time.monotonic() < deadline, f"{selector} shows {shown!r}, not {text!r}"
            time.sleep(0.1)

    def command(self, name: str, *options: str, backend: str = "s3") -> None:
        """Of this stack and these settings."""
        chosen = [f"--set=worker.state_dir={self.folder / 'workers'}"]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "consumer", name, backend, "--local", *chosen, *options],
            env=tethered.environment(self.folder),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def open(self, backend: str = "s3") -> None:
        self.browser.open(f"http://127.0.0.1:{self.ports[backend]}/")

    def scene(self, name: str) -> None:
        look_at(self.browser, name)

    def feed(self, ended: threading.Event) -> None:
        """Until it has ended: good records, or bad ones while `bad` is set."""
        kinesis, put = self.stack.client("kinesis"), 0
        while not ended.wait(0.5):
            records = []
            for count in range(put, put + 40):
                moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                line = json.dumps({"player_id": f"{count % 16:x}{count}", "time": moment, "event": "move"})
                is_bad = self.bad.is_set() or count % 120 == 0
                data = '<script>alert("s3cret")</script>' if is_bad else line
                records.append({"Data": data, "PartitionKey": str(count)})
            kinesis.put_records(StreamName=self.stack.stream, Records=records)
            put += 40

    @contextmanager
    def broken(self, **scope: Any) -> Iterator[None]:
        control = FaultControl(self.stack.aws_endpoint)
        control.put("test", Rule(action=Answer(503, "SlowDown", "injected <b>fault</b>"), **scope))
        try:
            yield
        finally:
            control.lift("test")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("page")
    ports = {"s3": loopback.free_port(), "bigquery": loopback.free_port()}
    common = {**_SETTINGS, "worker.state_dir": str(folder / "workers")}
    ended = threading.Event()
    with stacks.running(folder, shards=2) as running:
        chosen = {backend: {**common, "http.port": str(ports[backend])} for backend in backends.BACKENDS}
        with backends.started(folder, chosen) as started, chromium() as browser:
            world = World(running.stack, started, ports, folder, browser)
            feeding = threading.Thread(target=world.feed, args=(ended,))
            feeding.start()
            try:
                yield world
            finally:
                ended.set()
                feeding.join()


def is_well(told: dict[str, Any]) -> bool:
    return bool(told.get("healthy") and told["shards"] and told["phase"] == "running")


def test_what_an_operator_sees(world: World) -> None:
    browser = world.browser
    browser.look(width=1280)
    world.until_told(lambda told: told.get("phase") == "running")
    world.open()
    world.until_told(is_well)
    world.until_shown("#headline", "All is well")
    _figures_move(world)
    _can_be_used_by_keyboard(world)
    world.scene("well")
    _works_without_a_script(world)
    _leads_to_the_other_backend(world)
    _backend_down(world)
    _paused(world)
    _killed_jvm(world)
    _split_shard(world)
    _no_worker_reads(world)
    _held_shard(world)
    _daemon_gone(world)


def _figures_move(world: World) -> None:
    world.until_shown("#facts", "Freshness")
    checkpoints = world.browser.text("#checkpoints")
    updated = world.browser.text("#updated")
    deadline = time.monotonic() + _SECONDS
    while world.browser.text("#checkpoints") == checkpoints or world.browser.text("#updated") == updated:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    shown = world.browser.run("return document.querySelector('#facts dd:not(.small)').innerText")
    assert re.fullmatch(r"[\d.]+ (s|min)( \d+ s)?", shown)
    world.until_shown("#dead-letters", "not_json", _SECONDS)
    assert "s3cret" not in world.browser.run("return document.body.innerText")
    assert world.browser.run("return document.scripts.length") == 1


def _can_be_used_by_keyboard(world: World) -> None:
    """What is opened by the keyboard stays open, and keeps the focus, while events come."""
    browser = world.browser
    opened = browser.run(
        "const all = document.querySelectorAll('#dead-letters details'); const one = all[0];"
        "one.querySelector('summary').focus(); one.querySelector('summary').click(); return one.id"
    )
    before = browser.run("return document.querySelectorAll('#dead-letters details')[0].id")
    deadline = time.monotonic() + _SECONDS
    while browser.run("return document.querySelectorAll('#dead-letters details')[0].id") == before:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert browser.run("return document.getElementById(arguments[0]).open", opened)
    assert browser.run("return document.activeElement.closest('details')?.id") == opened


def _works_without_a_script(world: World) -> None:
    world.browser.without_scripts(True)
    world.open()
    world.browser.without_scripts(False)
    assert "All is well" in world.browser.text("#headline")
    assert world.browser.run("return document.querySelectorAll('#shards tbody tr').length") >= 2
    world.open()


def _leads_to_the_other_backend(world: World) -> None:
    world.until_shown("#peers", "player-log-bigquery")
    world.browser.run("document.querySelector('#peers a').click()")
    deadline = time.monotonic() + _SECONDS
    while "player-log-bigquery" not in world.browser.text("h1"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    world.until_shown("#peers", "player-log-s3")
    world.open()


def _backend_down(world: World) -> None:
    world.until_told(is_well)
    with world.broken(service="s3", operation="PutObject"):
        world.until_told(lambda told: any("a record has waited" in one for one in told["reasons"]))
        world.until_shown("#headline", "Records wait too long for the backend")
        world.until_shown("#shards", "injected <b>fault</b>")
        world.until_shown("#shards", "lagging")
        assert world.browser.title().startswith("✕")
        world.scene("backend-down")
    world.until_told(is_well)
    world.until_shown("#headline", "All is well")


def _paused(world: World) -> None:
    """Freshness is that of the records that arrive meanwhile."""
    world.command("pause", "--yes", "--who=ops", "--reason=a <b>migration</b>")
    world.until_told(lambda told: told.get("state") == "paused" and (told["freshness_seconds"] or 0) > 5)
    world.until_shown("#headline", "paused")
    world.until_shown("#headline", "bin/resume")
    world.until_shown("#reasons", "paused by ops: a <b>migration</b>")
    shown = world.browser.text("#facts .first dd")
    until(lambda: world.browser.text("#facts .first dd") != shown)
    world.scene("paused")
    world.command("resume", "--yes")
    world.until_told(is_well)
    world.until_shown("#headline", "All is well")


def _killed_jvm(world: World) -> None:
    while True:  # it is started again by chance between at once and supervisor.restart_base
        jvm = world.told()["jvm"]["pid"]
        os.kill(jvm, signal.SIGKILL)
        world.until_told(lambda told, jvm=jvm: told["jvm"]["pid"] != jvm)  # type: ignore[misc]
        if world.told()["phase"] == "restarting":
            break
        world.until_told(is_well)
    world.until_shown("#headline", "restarting")
    world.until_shown("#headline", "started again by itself")
    world.scene("restarting")
    world.until_told(lambda told: told["jvm"]["pid"] not in (None, jvm))
    world.until_shown("#happenings", f"the JVM runs as process {world.told()['jvm']['pid']}, start ")
    world.until_told(is_well)
    world.until_shown("#headline", "All is well")
    world.scene("restarted")


def _split_shard(world: World) -> None:
    kinesis, stream = world.stack.client("kinesis"), world.stack.stream
    (shard, *_) = kinesis.list_shards(StreamName=stream)["Shards"]
    keys = shard["HashKeyRange"]
    middle = str((int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2)
    kinesis.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
    world.until_told(lambda told: len(told["shards"]) == 3)
    for child in ("shardId-000000000002", "shardId-000000000003"):
        world.until_shown("#shards", child)
    world.until_shown("#happenings", f"{shard['ShardId']} is no longer here")
    world.until_told(is_well)
    world.scene("split")


def _no_worker_reads(world: World) -> None:
    """The JVM of the only worker stands still, so that it neither reads nor renews its leases."""
    world.until_told(is_well)
    jvm = world.told()["jvm"]["pid"]
    os.kill(jvm, signal.SIGSTOP)
    try:
        world.until_told(lambda told: {one["condition"] for one in told["shards"]} == {"stuck"})
        world.until_shown("#headline", "There are shards that nobody reads")
        world.until_shown("#shards", "stuck")
        world.until_shown("#reasons", "not read for")
        assert world.browser.title().startswith("✕ stuck")
        world.scene("unread")
    finally:
        os.kill(jvm, signal.SIGCONT)
    world.until_told(is_well)
    world.until_shown("#headline", "All is well")


def _held_shard(world: World) -> None:
    world.bad.set()
    world.until_told(lambda told: any(": held: " in one for one in told["reasons"]))
    world.until_shown("#headline", "held")
    world.until_shown("#headline", "deadletter.max_ratio = 1")
    world.until_shown("#shards", "held")
    assert "s3cret" not in world.browser.run("return document.body.innerText")
    world.scene("held")
    world.bad.clear()


def _daemon_gone(world: World) -> None:
    """The page says since when it shows nothing new."""
    (s3,) = (one for one in world.running if one.name == "s3")
    s3.popen.send_signal(signal.SIGSTOP)
    try:
        world.until_shown("#stale", "Stale since", 20)
        assert world.browser.title().startswith("✕ stale")
        world.browser.console()
        world.scene("stale")
    finally:
        s3.popen.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + _SECONDS
    while not world.browser.run("return document.getElementById('stale').hidden"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


# ---- a demo ----


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@contextmanager
def demo(folder: Path) -> Iterator[dict[str, str]]:
    """The addresses of the pages of a `bin/demo --keep` that runs within the block, by backend."""
    process = subprocess.Popen(
        ["bin/demo", "--keep", "--records", "60000"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "CONSUMER_LOCAL_DIR": str(folder / "local"), "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = next(line for line in process.stderr if "their status pages" in line)
        reading = threading.Thread(target=process.stderr.read)
        reading.start()
        yield {backend: url for url, backend in re.findall(r"(http://\S+/) \((\w+)\)", said)}
    finally:
        process.terminate()
        assert process.stdout is not None
        out = process.stdout.read()
        reading.join()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        if kept := re.search(r"stop it by: kill (\d+)", out):
            os.kill(int(kept[1]), signal.SIGTERM)


def test_the_figures_of_a_demo_move(tmp_path: Path, browser: Browser) -> None:
    browser.look(width=1280)
    with demo(tmp_path) as pages:
        assert set(pages) == {"s3", "bigquery"}
        for url in pages.values():
            until(lambda url=url: answers(url))  # type: ignore[misc]
            browser.open(url)
            until(lambda: "All is well" in browser.text("#headline"))
            for part in ("#updated", "#facts", "#shards", "#checkpoints"):
                shown = browser.text(part)
                until(lambda part=part, shown=shown: browser.text(part) != shown)  # type: ignore[misc]
        look_at(browser, "demo")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS):
            return True
    except OSError:
        return False
