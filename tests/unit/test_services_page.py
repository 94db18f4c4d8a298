"""docs/services.md: each fact has a source, and a test that exists or the word that it is a limit."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
FACTS = PAGE.partition("## Two applications")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in FACTS.splitlines()
    if line.startswith("| ") and not line.startswith("| what the service does")
]


def test_the_page_has_rows_of_four_cells() -> None:
    assert len(ROWS) >= 20
    assert {len(row) for row in ROWS} == {4}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_each_fact_has_a_source_and_is_held_by_a_test_or_is_a_limit(row: list[str]) -> None:
    assert re.search(r"\]\(https://", row[1])
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[3])
    assert named or row[3] == "a limit"
    for path, test in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, test
