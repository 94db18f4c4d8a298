import io
import json
import os
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.report.log import Log, chosen_format, format_line
from consumer.daemon.report.log_page import page
from consumer.domain.event_names import EVENTS, EventName
from consumer.domain.events import Field, Level
from consumer.settings import PROJECT_ROOT


def test_a_line_holds_time_level_backend_shard_and_message() -> None:
    line = format_line(now=1.5, level="INFO", backend="s3", shard="shardId-000000000001", message="delivered")
    assert line == "1970-01-01T00:00:01.500Z INFO    s3 shardId-000000000001: delivered"


def test_a_line_of_the_daemon_itself_names_no_shard() -> None:
    line = format_line(now=0.0, level="WARNING", backend="bigquery", message="grüße")
    assert line == "1970-01-01T00:00:00.000Z WARNING bigquery: grüße"


def test_control_characters_are_escaped() -> None:
    line = format_line(
        now=0.0, level="INFO", backend="s3", shard="a\nb", message="x\r\n\x1b[31m\u2028\u202ey\x00"
    )
    assert line.endswith(r"s3 a\nb: x\r\n\x1b[31m\u2028\u202ey\x00")


@given(message=st.text(st.characters()), shard=st.text(st.characters()))
def test_no_message_makes_two_lines(message: str, shard: str) -> None:
    line = format_line(now=0.0, level="INFO", backend="s3", shard=shard, message=message)
    assert len(line.splitlines()) == 1
    assert line.isprintable()


def test_lines_below_the_least_level_are_not_written() -> None:
    lines: list[str] = []
    log = Log(backend="s3", level="WARNING", clock=lambda: 0.0, write=lines.append)
    levels: tuple[Level, ...] = ("DEBUG", "INFO", "WARNING", "ERROR")
    for level in levels:
        log.line(level, "m")
    assert [line.split()[1] for line in lines] == ["WARNING", "ERROR"]


def test_a_message_without_end_is_cut() -> None:
    lines: list[str] = []
    Log(backend="s3", level="INFO", clock=lambda: 0.0, write=lines.append).error("x" * 8_000_000)
    (line,) = lines
    assert len(line) < 17_000
    assert line.endswith("x…")


def json_log(lines: list[str]) -> Log:
    return Log(
        backend="s3", level="INFO", clock=lambda: 1.5, application="app", form="json", write=lines.append
    )


def test_a_line_of_json_holds_the_same_and_the_event_with_its_fields() -> None:
    lines: list[str] = []
    log = json_log(lines)
    log.line("WARNING", "m", shard="shard-1", event="delivery_retried", fields={"attempt": 4})
    log.info("n")
    assert list(map(json.loads, lines)) == [
        {
            "time": "1970-01-01T00:00:01.500Z",
            "level": "WARNING",
            "application": "app",
            "backend": "s3",
            "shard": "shard-1",
            "event": "delivery_retried",
            "message": "m",
            "attempt": 4,
        },
        {
            "time": "1970-01-01T00:00:01.500Z",
            "level": "INFO",
            "application": "app",
            "backend": "s3",
            "event": "note",
            "message": "n",
        },
    ]


@given(
    message=st.text(st.characters()),
    shard=st.text(st.characters()),
    fields=st.dictionaries(
        st.sampled_from(["level", "event", "a"]), st.text(st.characters()) | st.integers()
    ),
)
def test_no_message_makes_two_lines_of_json_or_says_it_is_another_event(
    message: str, shard: str, fields: dict[str, Field]
) -> None:
    lines: list[str] = []
    json_log(lines).line("INFO", message, shard=shard, event="shard_started", fields=fields)
    (line,) = lines
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert line.isascii()
    found = json.loads(line)
    assert (found["message"], found["shard"]) == (message, shard)
    assert (found["level"], found["event"]) == ("INFO", "shard_started")
    assert found.get("a") == fields.get("a")


class Stream(io.StringIO):
    def __init__(self, *, terminal: bool, file: int | None = None) -> None:
        super().__init__()
        self._terminal = terminal
        self._file = file

    def isatty(self) -> bool:
        return self._terminal

    def fileno(self) -> int:
        return super().fileno() if self._file is None else self._file


def test_people_get_text_and_machines_json() -> None:
    read, write = os.pipe()
    try:
        found = os.fstat(write)
        journal = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert chosen_format("auto", Stream(terminal=True), {}) == "text"
        assert chosen_format("auto", Stream(terminal=False, file=write), journal) == "text"
        assert chosen_format("auto", Stream(terminal=False, file=write), {}) == "json"
        # standard error was sent elsewhere than the unit's
        assert chosen_format("auto", Stream(terminal=False, file=write), {"JOURNAL_STREAM": "1:2"}) == "json"
        assert chosen_format("auto", Stream(terminal=False), journal) == "json"
        assert chosen_format("text", Stream(terminal=False), {}) == "text"
        assert chosen_format("json", Stream(terminal=True), {}) == "json"
    finally:
        os.close(read)
        os.close(write)


def test_a_stream_that_is_closed_gets_json() -> None:
    stream = io.StringIO()
    stream.close()
    assert chosen_format("auto", stream, {}) == "json"


def test_the_page_is_made_from_the_table() -> None:
    committed = (PROJECT_ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    assert committed == page(), "make it anew: python -m consumer.daemon.report.log_page > docs/logs.md"


def test_the_names_are_those_of_the_table() -> None:
    assert list(get_args(EventName.__value__)) == list(EVENTS)


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "note"])
def test_every_event_is_told_somewhere(name: str) -> None:
    assert name in _told()


def _told() -> set[str]:
    sources = (path for path in (PROJECT_ROOT / "consumer").rglob("*.py") if path.name != "event_names.py")
    return {name for path in sources for name in re.findall(r'"([a-z_]+)"', path.read_text(encoding="utf-8"))}
