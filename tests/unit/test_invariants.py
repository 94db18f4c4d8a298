"""The invariants of docs/architecture.md: each is held by tests that carry its name."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.settings import BACKENDS, Backend, Settings, load

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
INVARIANTS = re.findall(r"^\| (I\d+) \|", TABLE, flags=re.MULTILINE)


def words_of_tests() -> Iterator[str]:
    """The name and the docstring of every test, and the docstrings of their modules."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield ast.get_docstring(tree) or ""
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name
                yield ast.get_docstring(node) or ""


@functools.cache
def named() -> set[str]:
    return {
        name for words in words_of_tests() for name in re.findall(r"(?<![A-Za-z0-9])I\d+(?![0-9])", words)
    }


def test_there_are_ten_of_them() -> None:
    assert [f"I{number}" for number in range(1, 11)] == INVARIANTS


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_a_test_carries_the_name_of_each(invariant: str) -> None:
    assert invariant in named()


def test_no_test_and_no_module_names_another_one() -> None:
    modules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "consumer").rglob("*.py"))
    in_modules = {f"I{number}" for number in re.findall(r"\(I(\d+)", modules)}
    assert named() | in_modules <= set(INVARIANTS)


def of_backend(backend: Backend) -> Settings:
    return load(backend, file=ROOT / "properties" / f"{backend}.properties")


def test_I4_the_backends_share_no_application_no_port_and_no_directory() -> None:
    """What they share one of them could break for the other: leases, checkpoints, sockets, a lock."""
    both = [of_backend(backend) for backend in BACKENDS]
    for key in ("applicationName", "http.port"):
        assert len({settings[key] for settings in both}) == len(BACKENDS), key
