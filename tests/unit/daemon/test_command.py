from pathlib import Path

import pytest

from consumer.daemon.commands.arguments import Embedded, default_properties
from consumer.daemon.commands.start import start_main
from consumer.daemon.errors import StartFailed
from consumer.settings import BACKENDS, Backend


@pytest.fixture
def properties(tmp_path: Path) -> str:
    path = tmp_path / "s3.properties"
    path.write_text("s3.bucket = from-file\nchunk.window = 7s\n")
    return str(path)


def test_faults_in_the_settings_are_all_printed_and_end_with_code_2(
    properties: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["s3", "--properties", properties, "--set", "chunk.windw=1s", "--set", "s3.bucket=X"]
    assert start_main(arguments) == 2
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "--set: chunk.windw: no such setting; did you mean chunk.window?",
        (
            '--set: s3.bucket: "X" is not a bucket\'s name (3 to 63 lower-case letters, digits, dots and hyphens) or an'
            " access point's ARN"
        ),
    ]


def test_the_effective_settings_are_printed_with_their_origins(
    properties: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_embedded(backend: str) -> Embedded:
        return Embedded(overrides={"s3.bucket": "embedded", "chunk.grace": "1s"}, environment={})

    arguments = ["s3", "--local", "--properties", properties, "--set", "chunk.grace=2s", "--print-effective"]
    assert start_main(arguments, find_embedded=find_embedded) == 0
    values = {
        line.split(" = ")[0].rstrip(): line.split(" = ")[1] for line in capsys.readouterr().out.splitlines()
    }
    assert values["s3.bucket"] == "embedded  (--set)"
    assert values["chunk.grace"] == "2s  (--set)"
    assert values["chunk.window"] == f"7s  ({properties}:2)"


def test_a_stack_that_does_not_run_is_one_line_and_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    def find_embedded(backend: str) -> Embedded:
        raise StartFailed("--local: no embedded stack is running")

    assert start_main(["s3", "--local"], find_embedded=find_embedded) == 1
    assert capsys.readouterr().err == "--local: no embedded stack is running\n"


def test_the_settings_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert start_main(["bigquery", "--help-settings"]) == 0
    assert "bigquery.table_prefix = player_log" in capsys.readouterr().out


def test_the_settings_are_explained_without_a_backend_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert start_main(["--help-settings"]) == 0
    shown = capsys.readouterr().out
    assert "bigquery.table_prefix = player_log" in shown
    assert "s3.prefix = player-log/" in shown


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_in_the_first_line_of_a_properties_file_works(
    backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    first = default_properties(backend).read_text().splitlines()[0]
    name, *arguments = first.rpartition("bin/")[2].split()
    assert name == "start"
    assert start_main(arguments) == 0
    assert f"Settings of {backend}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["gcs"], [], ["s3", "--set", "novalue"], ["s3", "--set", "=x"]])
def test_wrong_usage_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        start_main(arguments)
    assert end.value.code == 2
    assert "usage: start" in capsys.readouterr().err
