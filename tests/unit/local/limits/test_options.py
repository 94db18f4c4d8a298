"""The options reach the embedded services as they were given."""

import argparse

import pytest

from consumer.local.limits.options import add_child_option, add_options, chosen, for_child, for_command
from consumer.local.limits.table import Limits

SCALED = ["--limits-scale", "600", "--limit", "kinesis.reads=7", "--limit", "s3.writes=0.5"]


def parsed(*argv: str) -> Limits | None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return chosen(parser.parse_args(argv))


def test_without_an_option_nothing_is_limited() -> None:
    assert parsed() is None
    assert for_command(None) == for_child(None) == []


def test_limits_are_the_tables_unless_something_is_given() -> None:
    assert parsed("--limits") == Limits()


@pytest.mark.parametrize("argv", [["--limits"], SCALED, ["--limits", *SCALED], ["--limit", "load.jobs=1"]])
def test_options_survive_the_way_to_other_processes(argv: list[str]) -> None:
    limits = parsed(*argv)
    assert limits is not None
    assert parsed(*for_command(limits)) == limits
    child = argparse.ArgumentParser()
    add_child_option(child)
    assert child.parse_args(for_child(limits)).limits == limits
    assert child.parse_args([]).limits is None


@pytest.mark.parametrize(
    "argv",
    [["--limits-scale", "0"], ["--limits-scale", "x"], ["--limit", "kinesis=1"], ["--limit", "s3.writes"]],
)
def test_what_makes_no_sense_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(*argv)
    assert argv[0] in capsys.readouterr().err
