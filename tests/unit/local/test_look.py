"""`bin/local sql` and `bin/local s3` on what a demo has left, and on a stack that runs."""

import gzip
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from consumer.local import look
from consumer.local.commands import local_main
from consumer.local.look import Leavings, LookError, OnStack, leave, lines_of, table
from consumer.local.samples import samples
from consumer.local.stack import StackNotRunningError

MOMENT = datetime(2026, 3, 1, 10, 11, 12, tzinfo=UTC)
OBJECTS = {"log/dt=1/a.ndjson.gz": gzip.compress(b'{"n":1}\n{"n":2}\n'), "other/b": b"plain\n"}


class FakeStack:
    """A bucket in memory, as boto3 shows it."""

    bucket = "player-logs"
    bigquery_endpoint = "http://127.0.0.1:1"

    def client(self, service: str) -> Any:
        return self

    class exceptions:  # noqa: N801 - boto3's name
        NoSuchKey = KeyError

    def get_paginator(self, name: str) -> Any:
        return self

    def paginate(self, **asked: str) -> Iterator[Any]:
        yield {
            "Contents": [
                {"Key": key, "Size": len(body), "LastModified": MOMENT}
                for key, body in OBJECTS.items()
                if key.startswith(asked["Prefix"])
            ]
        }

    def get_object(self, **asked: str) -> Any:
        return {"Body": io.BytesIO(OBJECTS[asked["Key"]])}


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("no_proxy", "NO_PROXY"):  # the command sets them for good
        monkeypatch.setenv(name, "")
    path = tmp_path / "local"
    monkeypatch.setenv("CONSUMER_LOCAL_DIR", str(path))
    return path


def left(folder: Path) -> Leavings:
    folder.mkdir()
    stack: Any = FakeStack()
    assert leave(stack, folder) == sum(map(len, OBJECTS.values()))
    return Leavings(folder)


def test_what_a_demo_has_left_is_what_was_on_the_stack(tmp_path: Path) -> None:
    stack: Any = FakeStack()
    running, ended = OnStack(stack), left(tmp_path / "demo-1")
    for prefix in ("", "log/", "log/dt=1/a", "none"):
        assert list(ended.objects(prefix)) == list(running.objects(prefix))
    for key in OBJECTS:
        assert lines_of(ended, key) == lines_of(running, key) == lines_of(running, f"s3://player-logs/{key}")
    assert lines_of(ended, "log/dt=1/a.ndjson.gz") == b'{"n":1}\n{"n":2}\n'


@pytest.mark.parametrize("key", ["none", "log/dt=1", "log/dt=1/a.ndjson", "../lock", ""])
def test_an_object_that_is_not_there_is_named(tmp_path: Path, key: str) -> None:
    (tmp_path / "lock").touch()
    stack: Any = FakeStack()
    for source in (left(tmp_path / "demo-1"), OnStack(stack)):
        with pytest.raises(LookError, match=r"no object .* bin/local s3 ls lists them"):
            source.content(key)


def test_the_next_demo_takes_the_place_of_the_one_before(tmp_path: Path, state_dir: Path) -> None:
    for name in ("demo-1", "demo-2"):
        left(tmp_path / name)
    assert (state_dir / "demo").resolve() == tmp_path / "demo-2"
    assert not (tmp_path / "demo-1").exists()
    assert list(state_dir.iterdir()) == [state_dir / "demo"]


def test_the_commands_look_at_what_the_last_demo_has_left(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    left(tmp_path / "demo-1")
    assert local_main(["s3", "ls", "log/"]) == 0
    assert local_main(["s3", "cat", "log/dt=1/a.ndjson.gz"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == b'2026-03-01 10:11:12         %d log/dt=1/a.ndjson.gz\n{"n":1}\n{"n":2}\n' % len(
        OBJECTS["log/dt=1/a.ndjson.gz"]
    )
    assert err.count(b"bin/local: looking at what bin/demo has left in ") == 2


def test_where_nothing_is_left_the_error_says_what_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["s3", "ls"], ["s3", "cat", "x"], ["sql", "SELECT 1"]):
        assert local_main(command) == 1
        assert "start one with bin/local, or run bin/demo" in capsys.readouterr().err
    with pytest.raises(StackNotRunningError):
        look.held(Path("/nonexistent"))


def test_the_samples_are_commands_with_what_they_print() -> None:
    stack: Any = FakeStack()
    ls, listed, cat, line = samples(OnStack(stack), prefix="log/", queries=())
    assert ls.endswith("local s3 ls log/ | head -n 1")
    assert listed.endswith("log/dt=1/a.ndjson.gz")
    assert cat.endswith("local s3 cat log/dt=1/a.ndjson.gz | head -n 1")
    assert line == '    {"n":1}'
    assert list(samples(OnStack(stack), prefix="none/", queries=())) == []


def test_values_of_every_type_are_cells() -> None:
    values: list[Any] = [None, 1, 1.5, True, "text", b"\x00\xff", Decimal("1.10"), date(2026, 3, 1), MOMENT]
    values += [{"a": [1, None]}, [{"t": MOMENT}]]
    assert table(["column"], [[value] for value in values]) == [
        *("column", "NULL", "1", "1.5", "true", "text", "00ff", "1.10", "2026-03-01"),
        "2026-03-01 10:11:12.000+00:00",
        '{"a":[1,null]}',
        '[{"t":"2026-03-01 10:11:12+00:00"}]',
    ]
    assert table(["a", "bb"], [["xyz", 1]]) == ["a    bb", "xyz  1"]
