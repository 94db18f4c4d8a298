"""The command line: what it offers, and that it says its version."""

import importlib.util
import runpy
from pathlib import Path

import pytest

from consumer import __version__, cli
from consumer.daemon.commands.start import start_main

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


@pytest.fixture
def without_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the image."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_the_changelog_has_the_version() -> None:
    released = [line for line in CHANGELOG.read_text().splitlines() if line.startswith("## [")]
    assert released[0] == "## [Unreleased]"
    assert released[1].startswith(f"## [{__version__}]")


@pytest.mark.parametrize(
    "run", [cli.main, lambda arguments: start_main(arguments)], ids=["consumer", "start"]
)
def test_the_version_is_told(run: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["--version"])  # type: ignore[operator]
    assert end.value.code == 0
    assert capsys.readouterr().out == f"consumer {__version__}\n"


def test_a_command_that_is_interrupted_ends_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("consumer", run_name="__main__")
    assert end.value.code == 130


def test_every_command_has_an_entry_point() -> None:
    assert {
        "start",
        "check",
        "health",
        "status",
        "deadletters",
        "tap",
        "pause",
        "resume",
        "reconcile",
        "replay",
        "transform",
        "checkpoint",
        "athena-ddl",
        "compact",
        "local",
        "put",
        "demo",
    } == cli.offered().keys()
    assert all(callable(command.load()) for command in cli.offered().values())


@pytest.mark.usefixtures("without_stack")
def test_commands_that_cannot_run_here_are_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    assert "start" in (help_text := capsys.readouterr().out)
    assert "demo" not in help_text
    with pytest.raises(SystemExit) as end:
        cli.main(["demo"])
    assert end.value.code == 2


@pytest.mark.usefixtures("without_stack")
def test_the_embedded_stack_that_is_not_here_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["start", "s3", "--local"]) == 1
    assert capsys.readouterr().err == (
        "--local: the embedded stack is not part of this image; run bin/local from a checkout\n"
    )
