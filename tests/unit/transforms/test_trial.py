"""A function is tried in processes of its own, whatever it does to them."""

from pathlib import Path

import pytest

from consumer.settings import Settings, SettingsError, load
from consumer.transforms.trial import Failure, check_transform, try_out

FUNCTIONS = """
import os, random, sys, time

def change(record):
    print("a stray line")
    os.write(1, b"and another")
    if "n" not in record:
        return None
    return [record | {"half": half} for half in (1, 2)]

def fails(record):
    return record["n"]

def unordered(record):
    return {"all": list(set(record))}

def chance(record):
    return {"n": random.random()}

def ends(record):
    os._exit(3)

def hangs(record):
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tried.py").write_text(FUNCTIONS)
    return tmp_path


def settings_of(folder: Path, name: str) -> Settings:
    chosen = {"transform": f"tried:{name}", "transform.folder": str(folder)}
    common = {"streamName": "s", "applicationName": "a", "regionName": "eu-west-1", "s3.bucket": "bucket"}
    return load("s3", overrides={**common, **chosen})


def test_results_are_in_the_order_of_the_records(folder: Path) -> None:
    trial = try_out(settings_of(folder, "change"), [b"{", b'{"n":1}', b"[]", b"{}"])
    assert trial.results == [
        Failure("not_json", "not JSON at byte 1, where it ends"),
        [b'{"n":1,"half":1}', b'{"n":1,"half":2}'],
        Failure("not_an_object", "JSON, but not an object"),
        [],
    ]
    assert (trial.fault, trial.impure, trial.file) == (None, [], str(folder / "tried.py"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unordered", "record 1 the second time: it has to be pure"),
        ("chance", "it has to be pure"),
        ("ends", "ends the process that runs it, with exit code 3"),
        ("missing", "has no attribute 'missing'"),
    ],
)
def test_what_cannot_be_used_is_a_fault_of_the_setting(folder: Path, name: str, words: str) -> None:
    letters = b'{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1}'
    with pytest.raises(SettingsError) as caught:
        check_transform(settings_of(folder, name), [letters])
    [finding] = caught.value.findings
    assert finding.key == "transform"
    assert words in finding.message


def test_a_record_that_fails_is_no_fault_of_the_setting(folder: Path) -> None:
    [result] = check_transform(settings_of(folder, "fails")).results
    assert result == Failure("transform_failed", "KeyError: 'n'")


def test_a_function_that_hangs_is_given_up(folder: Path) -> None:
    trial = try_out(settings_of(folder, "hangs"), [b"{}"], seconds=0.01)
    assert trial.fault is not None
    assert trial.fault.startswith("is not done with 1 records")
