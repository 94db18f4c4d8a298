"""docs/your-logs.md: its commands do what the page says."""

import re
import shlex
from pathlib import Path

import pytest

from consumer.daemon.commands.check import check_main
from consumer.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs/your-logs.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader tries it, with the file of the page."""
    [sample] = blocks("ndjson")
    (tmp_path / "events.ndjson").write_text(sample)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[list[str]]:
    """Of all shell blocks, without bin/check."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line.replace("$PWD", str(Path.cwd()))) for line in lines]


def test_the_first_command_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = commands()
    assert first[0] == "bin/check"
    assert check_main(first[1:]) == 1
    [shown] = blocks("text")
    assert capsys.readouterr().out == shown


def test_the_commands_after_it_find_records_that_fit(capsys: pytest.CaptureFixture[str]) -> None:
    _, *others = commands()
    told = []
    for command in others:
        code = check_main(command[1:])
        told.append((code, "3 would be rows" in capsys.readouterr().out))
    assert told == [(0, True), (1, False), (0, True)]
