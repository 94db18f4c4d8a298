"""`bin/transform test`, and what `bin/check` and `bin/start` say of a transform."""

import json
from pathlib import Path

import pytest

from consumer.daemon.commands.check import check_main
from consumer.daemon.commands.start import start_main
from consumer.daemon.commands.transform import transform_main

FUNCTIONS = """
def change(record):
    if record.get("drop"):
        return None
    if record.get("two"):
        return [record, {"x": 1.10}]
    return record | {"new": len(record["n"])} if "n" in record else record
"""
RECORDS = b'{"n":"ab","keep":1e400}\n{"drop":1}\n{"two":2}\n{"n":5}\n{"as":"it is"}\n'
SETTINGS = (
    "--properties=/dev/null",
    "--set=applicationName=a",
    "--set=streamName=s",
    "--set=s3.bucket=bucket",
)


@pytest.fixture
def chosen(tmp_path: Path) -> tuple[str, str]:
    """The file, and the option that names the folder of functions."""
    (tmp_path / "own_functions.py").write_text(FUNCTIONS)
    (tmp_path / "records").write_bytes(RECORDS)
    return str(tmp_path / "records"), f"--set=transform.folder={tmp_path}"


def test_before_and_after_are_shown(chosen: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    file, folder = chosen
    code = transform_main(["test", file, "s3", *SETTINGS, folder, "--function=own_functions:change"])
    told = capsys.readouterr().out
    assert code == 1
    lines = told.splitlines()
    assert lines[:4] == ["line 1: changed", '      "n": "ab"', '      "keep": 1e400', '    + "new": 2']
    assert lines[4:6] == ["line 2: filtered", '    - "drop": 1']
    assert "line 4: dead letter (transform_failed)" in lines
    assert "    TypeError: object of type 'int' has no len()" in lines
    assert not any(line.startswith("line 5") for line in lines)
    assert lines[-1].startswith(
        "5 records: 1 changed, 1 filtered, 1 several, 1 dead letter (transform_failed), 1 unchanged, "
    )


def test_a_file_that_it_takes_is_well(chosen: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b'{"n":"ab"}\n{"drop":1}\n')
    good = str(tmp_path / "good")
    assert transform_main(["test", good, "s3", *SETTINGS, chosen[1], "--function=own_functions:change"]) == 0


def test_no_transform_is_wrong_usage(chosen: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert transform_main(["test", chosen[0], "s3", *SETTINGS]) == 2
    assert "no transform is set" in capsys.readouterr().err


def test_a_bad_place_is_told_before_anything_starts(
    chosen: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    bad = (*SETTINGS, chosen[1], "--set=transform=own_functions:nothing")
    assert transform_main(["test", chosen[0], "s3", *bad]) == 2
    assert check_main(["s3", "--offline", *bad]) == 2
    assert start_main(["s3", *bad]) == 2
    told = capsys.readouterr()
    assert (told.out + told.err).count("has no attribute 'nothing'") == 3


def test_a_sample_is_judged_behind_the_transform(
    chosen: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*SETTINGS, chosen[1], "--set=transform=own_functions:change", "--sample", chosen[0])
    check_main(["s3", *options, "--json"])
    found = json.loads(capsys.readouterr().out)["sample"]
    assert (found["records"], found["delivered"], found["filtered"]) == (5, 3, 1)
    assert found["dead_letters"]["transform_failed"]["records"] == 1
    check_main(["s3", *options])
    assert "1 would be filtered by the transform" in capsys.readouterr().out
