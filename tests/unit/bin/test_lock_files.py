"""The lock files: everything pinned and hashed, nothing that ties them to one machine, one version of each package."""

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[3] / "requirements"
LOCKS = (
    "runtime.txt",
    "dev.txt",
    "readers.txt",
    "build.txt",
    "compiler.txt",
    "training.txt",
    "uv.txt",
)
ENTRY = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)(?:\[[a-z0-9,-]+\])?==(?P<version>[0-9][0-9a-z.]*) \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def locked(name: str) -> dict[str, str]:
    """Package to version, as a lock file says."""
    lines = (REQUIREMENTS / name).read_text().splitlines()
    entries = [entry for line in lines if (entry := ENTRY.fullmatch(line))]
    return {entry["name"]: entry["version"] for entry in entries}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_holds_versions_and_hashes_and_nothing_else(name: str) -> None:
    lines = (REQUIREMENTS / name).read_text().splitlines()
    assert [line for line in lines if not ENTRY.fullmatch(line) and not HASH.fullmatch(line)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_file_has_a_hash(name: str) -> None:
    lines = (REQUIREMENTS / name).read_text().splitlines()
    entries = [number for number, line in enumerate(lines) if ENTRY.fullmatch(line)]
    assert entries
    assert all(HASH.fullmatch(lines[number + 1]) for number in entries)


def test_development_installs_the_versions_that_production_runs() -> None:
    assert locked("runtime.txt").items() <= locked("dev.txt").items()


def test_development_has_what_training_needs() -> None:
    assert locked("training.txt").items() <= locked("dev.txt").items()


def test_production_gets_no_tools() -> None:
    assert not locked("runtime.txt").keys() & {
        "pytest",
        "moto",
        "local-bigquery",
        "duckdb",
        "ruff",
        "mypy",
    }


@pytest.mark.parametrize("name", [lock.replace(".txt", ".in") for lock in LOCKS])
def test_what_is_asked_for_is_locked(name: str) -> None:
    asked = re.findall(r"^[A-Za-z0-9_-]+", (REQUIREMENTS / name).read_text(), re.MULTILINE)
    assert asked
    assert {package.replace("_", "-") for package in asked} <= locked(name.replace(".in", ".txt")).keys()


def test_the_environment_holds_what_the_lock_file_says() -> None:
    wanted = locked("dev.txt")
    assert {name: importlib.metadata.version(name) for name in wanted} == wanted


def test_the_readers_of_recipes_stand_where_only_recipes_look() -> None:
    """pyarrow and google-cloud-bigquery import pandas wherever it is found."""
    folder = Path(sys.prefix) / "share/readers"
    found = {
        each.metadata["Name"].lower(): each.version
        for each in importlib.metadata.distributions(path=[str(folder)])
    }
    assert found == locked("readers.txt")
    assert {name for name in found if importlib.util.find_spec(name)} == set()


def test_the_list_of_jars_holds_a_sum_and_a_name_for_each() -> None:
    lines = (REQUIREMENTS / "jars.sha256").read_text().splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[0-9a-f]{64}  [\w.-]+\.jar", line)] == []
    assert f"amazon-kinesis-client-multilang-{locked('runtime.txt')['amazon-kclpy']}.jar" in "\n".join(lines)
