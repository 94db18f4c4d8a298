"""A module that leaves the environment other than it found it fails, and the next one finds it as it was."""

import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.surroundings import Surroundings

ROOT = Path(__file__).parents[2]

LEAKS = {
    "test_a_new": "os.environ['LEFT_BEHIND'] = 'a secret'",
    "test_b_other": "os.environ['GIVEN'] = 'a secret'",
    "test_c_gone": "del os.environ['GIVEN']",
    "test_d_folder": "os.chdir('/')",
    "test_e_interrupt": "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "test_f_terminate": "signal.signal(signal.SIGTERM, lambda *_: None)",
}
TOLD = {
    "test_a_new": "the variable LEFT_BEHIND is new",
    "test_b_other": "the variable GIVEN has another value",
    "test_c_gone": "the variable GIVEN is gone",
    "test_d_folder": "the current directory is / and was {folder}",
    "test_e_interrupt": "the handler of SIGINT is <Handlers.SIG_IGN: 1> and was <built-in",
    "test_f_terminate": "the handler of SIGTERM is <function",
}

LEAKING = """
import os, signal

def test_leaks():
    {leak}
"""
CLEAN = """
import os, pathlib, signal

def test_finds_all_as_it_was(monkeypatch, tmp_path):
    assert os.environ["GIVEN"] == "before"
    assert "LEFT_BEHIND" not in os.environ
    assert pathlib.Path.cwd() == pathlib.Path(__file__).parent
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    monkeypatch.setenv("GIVEN", "taken back at the end")
    monkeypatch.chdir(tmp_path)
"""


def test_a_module_that_leaves_something_fails_and_the_next_one_does_not(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    for name, leak in LEAKS.items():
        (tmp_path / f"{name}.py").write_text(LEAKING.format(leak=leak))
        (tmp_path / f"{name}_then.py").write_text(CLEAN)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:local_bigquery"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "GIVEN": "before", "COLUMNS": "300"},
        capture_output=True,
        text=True,
    )
    assert "12 passed, 6 errors" in run.stdout, run.stdout + run.stderr
    summary = dict(re.findall(r"^ERROR (\w+)\.py::test_leaks - (.*)$", run.stdout, flags=re.MULTILINE))
    for name, told in TOLD.items():
        assert summary[name].startswith(f"Failed: left by this module: {told.format(folder=tmp_path)}")
    assert "secret" not in run.stdout


def test_what_has_not_changed_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Surroundings.of_this_process()
    monkeypatch.setenv("PYTEST_OF_ITS_OWN", "1")
    assert list(found.changes(Surroundings.of_this_process())) == []


def test_each_change_is_told() -> None:
    found = replace(Surroundings.of_this_process(), variables={"GONE": "1", "SAME": "1", "OTHER": "1"})
    later = replace(
        found,
        variables={"SAME": "1", "OTHER": "2", "NEW": "1"},
        folder=Path("/elsewhere"),
        handlers={**found.handlers, signal.SIGTERM: signal.SIG_IGN},
    )
    assert [change.split(" is ")[0].split(" has ")[0] for change in found.changes(later)] == [
        "the variable GONE",
        "the variable NEW",
        "the variable OTHER",
        "the current directory",
        "the handler of SIGTERM",
    ]
