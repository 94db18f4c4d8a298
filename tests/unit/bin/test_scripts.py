"""What every script in bin/ has in common."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted(
    path for path in [*(ROOT / "bin").iterdir(), ROOT / ".ci/run"] if path.suffix == "" and path.is_file()
)
COMMANDS = [path for path in SCRIPTS if not path.name.startswith("_")]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_a_command_can_be_run(path: Path) -> None:
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/sh\n")


@pytest.mark.parametrize(
    "path", [path for path in COMMANDS if path.parent.name == "bin"], ids=lambda path: path.name
)
def test_a_command_answers_help_with_its_own_name_and_nothing_else(path: Path) -> None:
    done = subprocess.run([path, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(rf"\b{path.name}\b", done.stdout)
    assert "pytest [options]" not in done.stdout


def test_the_scripts_pass_shellcheck() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip(
            "shellcheck is not installed (it has no package for every platform that the lock files cover)"
        )
    done = subprocess.run([shellcheck, "-s", "sh", *SCRIPTS], capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_valid_shell(path: Path) -> None:
    subprocess.run(["/bin/sh", "-n", path], check=True)


def test_help_names_every_command_of_the_package() -> None:
    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "consumer", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("start", "check", "local", "put", "demo"):
        assert f"  {name} " in done.stdout


def test_an_unknown_command_is_refused_with_the_usage() -> None:
    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "consumer", "strat"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "invalid choice: 'strat'" in done.stderr
