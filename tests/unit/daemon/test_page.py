"""The status page: what it says of each state, and that nothing a record or a service says is markup there."""

import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.page import peers as beside
from consumer.daemon.page.amounts import duration, moment, number, size
from consumer.daemon.page.chart import chart
from consumer.daemon.page.history import STEP_SECONDS, History, Limits
from consumer.daemon.page.markup import Markup, html, masked
from consumer.daemon.page.sections import sections
from consumer.daemon.page.settings_table import settings_table
from consumer.daemon.page.site import Page
from consumer.daemon.page.summary import title
from consumer.daemon.page.told import Shard, Told, read
from consumer.daemon.page.verdict import VERDICTS, Tone, state_of, verdict_of
from consumer.daemon.page.view import Peer, View
from consumer.daemon.report.health import Health, Phase
from consumer.daemon.report.http import Answer, Request
from consumer.daemon.report.shards import Shards
from consumer.daemon.report.status import Identity, ShardReport, Status, encode
from consumer.domain.events import StatusEvent
from consumer.settings import PROJECT_ROOT, Settings, load

NOW = 1_700_000_000.0
LIMITS = Limits(chunks=8, bytes=1000)
HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>'"&amp;\u202e\x1b{title}"""
VOID = frozenset({"meta", "link", "br", "img", "path"})


def shard(name: str = "shardId-0", **fields: Any) -> Shard:
    return Shard(name, **{"pid": 7, **fields})


def told(*shards: Shard, at: float = NOW, **fields: Any) -> Told:
    own: dict[str, Any] = {"backend": "s3", "application": "app", "worker_id": "me", "healthy": True}
    own |= {"phase": "running", "updated_at": at, "started_at": NOW - 60, "shards": shards}
    own["freshness_seconds"] = max((one.freshness_seconds for one in shards), default=None)
    own |= fields
    own["healthy"] = not own.get("reasons")
    return Told(**own)


def view(current: Told, history: History | None = None, **fields: Any) -> View:
    if history is None:
        history = History(LIMITS)
        history.saw(current)
    own: dict[str, Any] = {"peers": (), "runbook_url": None, "dead_letters_in": "s3://bucket/deadletter/"}
    return View(told=current, history=history, limits=LIMITS, **{**own, **fields})


class Text(HTMLParser):
    """What a reader sees, and which elements and attributes there are. Fails on an element that is not closed."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.seen = ""
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(markup)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen += data


@pytest.mark.parametrize(
    ("current", "state", "tone"),
    [
        (told(shard()), "running", Tone.WELL),
        (told(), "running", Tone.WELL),
        (told(phase="preparing"), "preparing", Tone.WATCH),
        (told(phase="preparing", reasons=("bucket: no",)), "setup-blocked", Tone.ILL),
        (told(phase="preparing", reasons=("not prepared after 41 s, so …",)), "preparing", Tone.ILL),
        (told(phase="restarting", reasons=("the JVM has ended",)), "restarting", Tone.ILL),
        (told(phase="stopping"), "draining", Tone.WATCH),
        (told(shard(), reasons=("shardId-0: held: too many",)), "held", Tone.ILL),
        (told(shard(), reasons=("shardId-0: no word from its process 7 for 40 s",)), "stuck", Tone.ILL),
        (told(shard(), reasons=("shardId-0: not read for 40 s: no worker",)), "stuck", Tone.ILL),
        (told(reasons=('lease table "app" does not exist',)), "stuck", Tone.ILL),
        (told(reasons=("no shard has been opened for 9 s",)), "stuck", Tone.ILL),
        (told(shard(), reasons=("shardId-0: a record has waited for 9 s",)), "lagging", Tone.ILL),
        (told(shard(), reasons=("shardId-0: … and the shard does not catch up: …",)), "lagging", Tone.ILL),
        (told(shard(), reasons=("shardId-0: something else",)), "unwell", Tone.ILL),
        (told(shard(catching_up=True)), "catching up", Tone.WATCH),
        (told(shard(catching_up=True), state="lagging"), "catching up", Tone.WATCH),
        (told(shard(), state="paused"), "paused", Tone.WATCH),
        (told(shard(retrying="403", catching_up=True), state="setup-blocked"), "setup-blocked", Tone.WATCH),
        (told(shard(retrying="503")), "running", Tone.WATCH),
    ],
)
def test_each_state_has_its_word_and_what_to_do(current: Told, state: str, tone: Tone) -> None:
    verdict = verdict_of(current)
    assert (verdict.state, verdict.tone) == (state, tone)
    acts = tone is Tone.ILL or state in ("paused", "setup-blocked")
    assert bool(verdict.todo) is (acts or "tried again" in verdict.says)
    page = sections(view(current))
    headline = Text(page["headline"]).seen
    assert state in headline
    assert verdict.says in headline
    assert verdict.todo in headline


def test_of_several_troubles_the_one_that_only_a_person_ends_is_told() -> None:
    current = told(shard(), reasons=("shardId-0: a record has waited for 9 s", "shardId-1: held: too many"))
    assert verdict_of(current).state == "held"


def test_what_the_verdict_is_about_stands_first_and_is_what_happened() -> None:
    reasons = ("shardId-0: a record has waited for 9 s", "shardId-0: not read for 9 s: no worker", "x")
    current = told(shard(), reasons=reasons, state="stuck")
    shown = Text(sections(view(current))["reasons"]).seen
    assert shown.index("not read for") < shown.index("has waited") < shown.index("x", shown.index("waited"))
    history = History(LIMITS)
    history.saw(told(shard(), at=NOW - 5))
    history.saw(current)
    assert history.happenings[-1].text == "stuck: shardId-0: not read for 9 s: no worker"
    restarting = told(shard(), phase="restarting", reasons=("the JVM has ended", reasons[0]))
    assert Text(sections(view(restarting))["reasons"]).seen.startswith("✕ the JVM has ended")


def test_the_state_of_a_shard_is_its_own() -> None:
    ill, well = shard("shardId-1"), shard("shardId-11", retrying=None)
    current = told(ill, well, reasons=("shardId-1: a record has waited for 9 s",))
    assert state_of(current, ill) == ("lagging", Tone.ILL)
    assert state_of(current, well) == ("running", Tone.WELL)
    assert state_of(current, shard("shardId-2", retrying="503")) == ("retrying", Tone.WATCH)
    assert state_of(current, shard("shardId-2", catching_up=True)) == ("catching up", Tone.WATCH)
    assert state_of(current, shard("shardId-2", condition="paused")) == ("paused", Tone.WATCH)
    assert state_of(current, shard("shardId-2", state="draining")) == ("draining", Tone.WELL)


def test_every_verdict_that_names_a_heading_of_the_runbook_finds_it_there() -> None:
    runbook = (PROJECT_ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^## (\S+)$", runbook, re.MULTILINE))
    named = {verdict.runbook for verdict in VERDICTS if verdict.runbook is not None}
    assert named <= headings
    assert named >= {"held", "down", "waiting"}


def test_the_words_that_the_daemon_has_for_itself_are_shown() -> None:
    one = shard(condition="setup-blocked")
    current = told(one, state="setup-blocked", reasons=("shardId-0: a record has waited for 9 s",))
    assert (verdict_of(current).state, verdict_of(current).runbook) == ("setup-blocked", "waiting")
    assert state_of(current, one) == ("setup-blocked", Tone.ILL)


def test_what_stands_with_the_shards_or_the_dead_letters_is_not_told_twice() -> None:
    notes = ("shardId-0: trying again: 503", "shardId-0: 1 dead letters (no_key 1)", "shardId-0: catching up")
    page = sections(view(told(shard(retrying="503"), notes=notes)))
    assert Text(page["reasons"]).seen.strip("! ") == "shardId-0: catching up"
    assert "503" in page["shards"]


def test_ill_shards_stand_first() -> None:
    shards = [shard(f"shardId-{number}") for number in range(3)]
    rows = sections(view(told(*shards, reasons=("shardId-2: held: x",))))["shards"]
    assert re.findall(r"shardId-\d(?=</th>)", rows) == ["shardId-2", "shardId-0", "shardId-1"]


def hostile() -> View:
    name = HOSTILE
    one = shard(
        name,
        state=HOSTILE,
        retrying=HOSTILE,
        held=HOSTILE,
        dead_letters=f"1 dead letters (not_json 1) in the last minute; the last: record 17: not_json: {HOSTILE}",
        counters={"dead_letters": 1, f"dead_letters_{HOSTILE}": 1},
        last_checkpoint_ms=int(NOW * 1000),
    )
    jvm = {"pid": 3, "last_error": {"at": NOW, "message": HOSTILE}}
    document = {
        "backend": HOSTILE,
        "application": HOSTILE,
        "worker_id": HOSTILE,
        "healthy": False,
        "phase": "running",
        "updated_at": NOW,
        "started_at": NOW,
        "reasons": [f"{name}: held: {HOSTILE}", HOSTILE],
        "notes": [HOSTILE],
        "jvm": jvm,
    }
    current = read(json.dumps(document).encode())
    current = Told(
        **{field: getattr(current, field) for field in current.__struct_fields__} | {"shards": (one,)}
    )
    history = History(LIMITS)
    history.saw(current)
    later = shard(name, last_checkpoint_ms=int(NOW * 1000) + 5, counters={})
    history.saw(told(later, at=NOW + 5))
    return view(
        current, history, peers=(Peer(HOSTILE, current, 1),), runbook_url=HOSTILE, dead_letters_in=HOSTILE
    )


def test_nothing_that_is_told_becomes_markup() -> None:
    harmless = sections(view(told(shard(), reasons=("shardId-0: held: x",))))
    allowed = {
        "span",
        "p",
        "b",
        "a",
        "div",
        "dt",
        "dd",
        "ul",
        "li",
        "ol",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
    }
    allowed |= {
        "td",
        "caption",
        "figure",
        "figcaption",
        "svg",
        "path",
        "details",
        "summary",
        "code",
        "h3",
        "time",
    }
    assert "script" not in allowed
    for name, part in sections(hostile()).items():
        parsed = Text(part)
        assert parsed.tags <= allowed, name
        assert not {one for one in parsed.attributes if one.startswith("on") or one == "style"}
        assert "\u202e" not in part
        assert "\x1b" not in part
        assert name in harmless
    assert "<script>alert(1)</script>" in Text(sections(hostile())["reasons"]).seen


@given(st.text(), st.text())
def test_a_text_comes_out_of_markup_as_it_went_in(text: str, attribute: str) -> None:
    made = html('<p id="{attribute}">{text}</p>', text=text, attribute=attribute)
    parsed = Text(made)
    assert parsed.tags == {"p"}
    assert parsed.attributes == {"id"}
    if text.isprintable():
        assert parsed.seen == text
    if attribute.isprintable():
        assert parsed.ids == [attribute]


def test_markup_stays_and_braces_in_a_text_are_no_names() -> None:
    assert html("{a}{b}{c}", a=Markup("<b>"), b=[Markup("<i>"), "{a}"], c=None) == "<b><i>{a}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('not JSON at byte 0, near "secret"', "not JSON at byte 0, near “•••”"),
        ("near 'a' and `b`", "near “•••” and “•••”"),
        ('cut "in the mid', "cut “•••”"),
        ("the field player_id is missing", "the field player_id is missing"),
    ],
)
def test_what_is_quoted_of_a_record_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_dead_letter_shows_its_identity_and_reason_and_no_piece_of_its_record() -> None:
    line = '2 dead letters (no_key 2) in the last minute; the last: record 4711.3: no_key: near "s3cret"'
    ill = shard(
        dead_letters=line,
        held='1 of 2 records …; the first: no_key: near "s3cret"',
        counters={"dead_letters_no_key": 2},
    )
    current = told(ill, reasons=(f"shardId-0: held: {ill.held}",), notes=(f"shardId-0: {line}",))
    page = sections(view(current))
    assert "s3cret" not in "".join(page.values())
    parsed = Text(page["dead-letters"]).seen
    assert "4711.3" in parsed
    assert "no_key2" in parsed
    assert "s3://bucket/deadletter/" in parsed


def test_the_runbook_is_linked_where_it_is_to_be_found() -> None:
    current = told(shard(), reasons=("shardId-0: held: x",))
    assert "docs/runbook.md#held" in sections(view(current))["headline"]
    linked = sections(view(current, runbook_url="https://wiki.example/runbook"))["headline"]
    assert 'href="https://wiki.example/runbook#held"' in linked


def feed(history: History, seconds: int, *, begin: float = NOW, rate: int = 10, **fields: Any) -> None:
    for second in range(seconds + 1):
        count = rate * second
        counters = {"records_read": 2 * count, "records_delivered": count}
        history.saw(told(shard(counters=counters, freshness_seconds=second, **fields), at=begin + second))


def test_rates_are_by_the_second_and_the_history_is_bounded() -> None:
    history = History(LIMITS)
    feed(history, 2000)
    assert len(history.points) == 900 / STEP_SECONDS
    assert (history.points[-1].delivered, history.points[-1].read) == (10, 20)
    assert history.shards["shardId-0"].delivered_rate == 10
    assert len(history.shards["shardId-0"].freshness) == 45


def test_what_a_transform_filters_stands_beside_what_is_delivered() -> None:
    """Else a function that lets one record in ten pass would look like a backend that takes no more."""
    history = History(LIMITS)
    for second in range(0, 11, 5):
        counters = {
            "records_read": 20 * second,
            "records_filtered": 18 * second,
            "records_delivered": 2 * second,
        }
        current = told(shard(counters=counters), at=NOW + second)
        history.saw(current)
    assert "of 20 records read a second, 18 filtered by the transform" in "".join(
        map(str, sections(view(current, history)).values())
    )
    assert "filtered" not in "".join(map(str, sections(view(told(shard()))).values()))


def test_a_process_that_begins_anew_makes_no_rate_negative_and_dead_letters_stay() -> None:
    history = History(LIMITS)
    for second, (pid, dead) in enumerate([(1, 3), (1, 5), (2, 0), (2, 4), (2, 1)]):
        counters = {"records_delivered": 100 * dead, "dead_letters": dead, "dead_letters_no_key": dead}
        history.saw(told(shard(pid=pid, counters=counters), at=NOW + 5 * second))
    assert history.dead_by_reason == {"no_key": 9}
    assert all(point.delivered >= 0 and point.dead_letters >= 0 for point in history.points)


def test_back_pressure_is_the_share_of_time_at_a_limit() -> None:
    history = History(LIMITS)
    feed(history, 29)
    feed(history, 29, in_flight_bytes=1000)
    assert history.shards["shardId-0"].back_pressure == 0.5
    feed(history, 59, in_flight_chunks=8)
    assert history.shards["shardId-0"].back_pressure == 1
    assert "high 100%" in Text(sections(view(told(shard()), history))["shards"]).seen


def test_checkpoints_are_told_with_what_lies_between_them() -> None:
    history = History(LIMITS)
    for moment_ms, delivered in [(None, 0), (1000, 50), (1000, 70), (4500, 90)]:
        history.saw(told(shard(last_checkpoint_ms=moment_ms, counters={"records_delivered": delivered})))
    assert [(one.at, one.since_last, one.records) for one in history.checkpoints] == [
        (1.0, None, None),
        (4.5, 3.5, 40),
    ]


def test_what_happened_is_told_once() -> None:
    history = History(LIMITS)
    jvm = {"pid": 3}
    well = read(json.dumps({**document(), "jvm": jvm, "shards": [{"shard": "shardId-0", "pid": 5}]}).encode())
    for current in [well, well]:
        history.saw(current)
    history.saw(told(shard("shardId-0", pid=5), reasons=("shardId-0: held: x",)))
    history.saw(read(json.dumps({**document(), "jvm": {"pid": 4, "restarts": 1}}).encode()))
    assert [one.text for one in history.happenings] == [
        "the JVM runs as process 3",
        "shardId-0 is read by process 5",
        "held: shardId-0: held: x",
        "running",
        "the JVM runs as process 4, start 2",
        "shardId-0 is no longer here",
    ]


def test_the_newest_dead_letters_are_kept_once_each_and_not_without_end() -> None:
    history = History(LIMITS)
    for position in [1, 1, *range(2, 100)]:
        line = f"1 dead letters (no_key 1) in the last minute; the last: record {position}: no_key: x\ny"
        history.saw(told(shard(dead_letters=line)))
    kept = [one.position for one in history.dead_letters]
    assert kept == [str(position) for position in range(90, 100)]
    assert history.dead_letters[-1].detail == "x\ny"


def document() -> dict[str, Any]:
    return {
        "backend": "s3",
        "application": "app",
        "worker_id": "me",
        "healthy": True,
        "phase": "running",
        "updated_at": NOW,
        "started_at": NOW,
    }


def status(**fields: Any) -> Status:
    known = Shards(trend_seconds=60)
    event = StatusEvent(
        shard="shardId-0", pid=1, state="running", oldest_undelivered_ms=int((NOW - 3) * 1000)
    )
    known.update(event, NOW)
    own: dict[str, Any] = {
        "identity": Identity(backend="s3", application="app", worker_id="me", pid=1),
        "health": Health(phase=Phase.RUNNING, healthy=True, reasons=()),
        "updated_at": NOW,
        "started_at": NOW,
        "shards": (ShardReport.of(next(iter(known)), now=NOW, catching_up=False),),
    }
    return Status(**{**own, **fields})


def test_what_the_daemon_writes_is_what_the_page_reads() -> None:
    current = read(encode(status()))
    assert (current.application, current.freshness_seconds) == ("app", 3)
    assert current.shards[0].shard == "shardId-0"


def settings(**chosen: str) -> Settings:
    named = {key.replace("__", "."): text for key, text in chosen.items()}
    return load("s3", overrides={"s3.bucket": "bucket", **named})


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(settings(), state_directory=tmp_path / "app")


def ask(
    page: Page, path: str, current: Status | None = None, query: str = "", host: str | None = None
) -> Answer:
    site = page.site(lambda: current or status(), {})
    return site.routes[path](Request(query=query, host=host))


def test_the_page_runs_its_own_script_and_style_only(page: Page) -> None:
    answer = ask(page, "/")
    assert answer.content_type == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    content = answer.body.decode()
    parsed = Text(content)
    assert not {one for one in parsed.attributes if one.startswith("on") or one == "style"}
    assert re.findall(r'(?:src|href|action)="([^"#]*)"', content)[1:] == ["status.json", "healthz"]
    assert len(parsed.ids) == len(set(parsed.ids))
    assert '<noscript><meta http-equiv="refresh"' in content


def test_every_part_has_its_place_on_the_page(page: Page) -> None:
    parsed = Text(ask(page, "/").body.decode())
    assert set(sections(view(told(shard())))) <= set(parsed.ids)


def test_the_status_is_there_as_json_beside_what_others_serve(page: Page) -> None:
    ill = status(health=Health(phase=Phase.RUNNING, healthy=False, reasons=("x",)))
    answer = ask(page, "/status.json", ill)
    assert (answer.code, json.loads(answer.body)["reasons"]) == (200, ["x"])
    site = page.site(status, {"/healthz": lambda _: Answer(body=b"own")})
    assert site.routes["/healthz"](Request(query="", host=None)).body == b"own"


def test_events_bring_all_parts_first_and_then_what_has_changed(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.daemon.page.site._EVENT_SECONDS", 0)

    async def run() -> list[dict[str, Any]]:
        stream = page.site(status, {}).streams["/events"]()
        got = [await anext(stream)]
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        page.saw(encode(status(updated_at=NOW + 1)))
        got.append(await following)
        await stream.aclose()
        return [json.loads(one.removeprefix(b"data: ")) for one in got]

    first, second = asyncio.run(run())
    assert set(first["parts"]) == set(sections(view(told(shard()))))
    assert first["title"] == "✓ running · app"
    assert "updated" in second["parts"]
    assert "headline" not in second["parts"]


def write(folder: Path, name: str, port: int = 8081, at: float = NOW) -> Path:
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({**document(), "application": name, "updated_at": at}))
    values = {"http.port": port}
    (folder / "settings.json").write_text(
        json.dumps({"backend": "bigquery", "values": values, "origins": {}})
    )
    return folder


def found(folder: Path) -> list[tuple[str, int]]:
    return [(peer.application, peer.port) for peer in beside.peers_beside(folder, now=NOW + 5)]


def test_the_other_daemons_of_a_host_are_found_beside_this_one(tmp_path: Path) -> None:
    write(tmp_path / "app", "app")
    write(tmp_path / "other", "other")
    write(tmp_path / "ended", "ended", at=NOW - 60)
    write(tmp_path / "silent", "silent", port=0)
    (write(tmp_path / "broken", "broken") / "status.json").write_text("{")
    linked = write(tmp_path / "linked", "linked")
    (linked / "status.json").rename(linked / "elsewhere")
    (linked / "status.json").symlink_to(linked / "elsewhere")
    assert found(tmp_path / "app") == [("other", 8081)]
    assert found(tmp_path / "none" / "app") == []


def test_another_daemon_is_linked_at_the_name_by_which_the_browser_came(tmp_path: Path) -> None:
    write(tmp_path / "other", "other")
    page = Page(settings(), state_directory=tmp_path / "app")
    assert 'href="peer?other"' in ask(page, "/").body.decode()
    for name, place in [("localhost", "localhost"), ("::1", "[::1]"), ("10.1.2.3", "10.1.2.3")]:
        answer = ask(page, "/peer", query="other", host=name)
        assert (answer.code, answer.headers["Location"]) == (302, f"http://{place}:8081/")
    refused: list[tuple[str, str | None]] = [
        ("nobody", "localhost"),
        ("other", None),
        ("other", "a\nb"),
        ("other", "a/b"),
        ("other", ""),
    ]
    for query, host in refused:
        assert ask(page, "/peer", query=query, host=host).code == 404


def test_the_settings_in_force_show_no_secret() -> None:
    chosen = settings(
        jvm__options="-Xmx1g -Dhttps.proxyPassword=hunter2",
        AwsCredentialsProvider="com.example.Provider|hunter3",
    )
    shown = Text(settings_table(chosen)).seen
    assert "hunter" not in shown
    assert "-Xmx1g -Dhttps.proxyPassword=•••" in shown
    assert "not shown" in shown
    assert "chunk.window" in shown


def test_a_chart_says_in_words_what_it_draws_and_joins_no_gaps() -> None:
    line = [(NOW, 1.0), (NOW + 5, 3.0), (NOW + 10, None), (NOW + 15, 2.0), (NOW + 100, 2.0)]
    drawn = chart("Freshness", [("now", line)], until=NOW + 100, seconds=900, gap=20, words=duration)
    assert "Freshness in the last 15 minutes: now: at most 3.0 s" in drawn
    path = re.findall(r'class="line0" d="([^"]*)"', drawn)
    assert [letter for letter in path[0] if letter.isalpha()] == ["M", "L", "M", "M"]
    empty = chart("Freshness", [("now", [])], until=NOW, seconds=900, gap=20, words=duration)
    assert "nothing yet" in empty


@given(st.lists(st.tuples(st.floats(NOW, NOW + 900), st.none() | st.floats(0, 1e12)), max_size=20))
def test_a_chart_stays_within_its_frame(line: list[tuple[float, float | None]]) -> None:
    drawn = chart(
        "x", [("now", sorted(line, key=lambda at: at[0]))], until=NOW + 900, seconds=900, gap=20, words=str
    )
    for x, y in re.findall(r"[ML](\S+) (\S+?)(?=[MLh\"])", drawn.partition('class="line0"')[2]):
        assert 0 <= float(x) <= 600
        assert 0 <= float(y) <= 100


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (190, "3 min 10 s"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_amounts() -> None:
    assert [number(amount) for amount in (0, 0.25, 3, 1234567.8)] == ["0", "0.2", "3", "1,234,568"]
    assert [size(amount) for amount in (0, 999, 1536, 3.2 * 1024**3)] == [
        "0 B",
        "999 B",
        "1.5 KiB",
        "3.2 GiB",
    ]
    assert moment(NOW, NOW + 60) == "22:13:20"
    assert moment(NOW, NOW + 86_400) == "Nov 14 22:13"


def test_the_title_tells_the_state() -> None:
    assert title(told(shard(), reasons=("shardId-0: held: x",))) == "✕ held · app"


def test_many_shards_are_not_all_drawn() -> None:
    shards = [shard(f"shardId-{number:03}") for number in range(250)]
    made = sections(view(told(*shards, reasons=("shardId-249: held: x",))))["shards"]
    assert made.count('scope="row"') == 200
    assert "50 more shards" in made
    assert "shardId-249" in made
