from hypothesis import given
from hypothesis import strategies as st

from consumer.daemon.report.log import Log, format_line
from consumer.domain.events import Level


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
