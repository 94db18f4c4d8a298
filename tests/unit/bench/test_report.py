"""The committed page against the results that it is made from, and tables of results."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.settings import PROJECT_ROOT
from tests.bench.report import committed, report

PAGE = PROJECT_ROOT / "docs/benchmarks.md"
COST_PAGE = PROJECT_ROOT / "docs/cost.md"
SERVICES_PAGE = PROJECT_ROOT / "docs/services.md"
ECS_PAGE = PROJECT_ROOT / "docs/ecs.md"
PAGES = (PAGE, COST_PAGE, SERVICES_PAGE, ECS_PAGE)
MACHINE = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_the_tables_of_the_page_are_those_of_the_results(page: Path) -> None:
    cog = [sys.executable, "-m", "cogapp", "--check", "--diff", str(page.relative_to(PROJECT_ROOT))]
    done = subprocess.run(cog, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"fill them in as the page says:\n{done.stdout}{done.stderr}"


def test_the_pages_have_every_result() -> None:
    page = "".join(each.read_text() for each in PAGES)
    results = [json.loads(path.read_text()) for path in PAGE.with_suffix("").glob("*.json")]
    assert len(results) > 5
    for result in results:
        assert f"\n{report(result)}\n" in page


def test_all_tables_of_a_level_are_found() -> None:
    found = committed("memory")
    assert [line.split("`")[1] for line in found.splitlines() if line.startswith("`bin/bench")] == [
        "bin/bench memory --hostile --json",
        "bin/bench memory --json",
    ]


def test_a_table_stands_under_the_command_that_made_it() -> None:
    row = {"backend": "s3", "started": "forked", "state": "load", "peak_rss_mib": 1}
    rows = [
        {**row, "peak_pss_mib": 1.5, "allowed_mib": 2_000},
        {**row, "peak_pss_mib": None, "allowed_mib": 2},
    ]
    result = {"level": "memory", "command": "bin/bench memory", "runs": 1, "machine": MACHINE, "rows": rows}
    assert report(result).splitlines() == [
        "`bin/bench memory`, 1 runs; some, 2 cores, 4 GiB, Linux, Python 3.13",
        "",
        "| backend | started | state | peak RSS, MiB | peak PSS, MiB | allowance, MiB |",
        "| --- | --- | --- | --: | --: | --: |",
        "| s3 | forked | load | 1 | 1.5 | 2,000 |",
        "| s3 | forked | load | 1 | – | 2 |",
    ]


def test_many_hostile_kinds_are_a_row_for_each_shard_process() -> None:
    rows = [
        {
            "case": "s3, native",
            "kind": f"kind-{number}",
            "peak_rss_mib": 100 + number % 7,
            "shared_mib": 20,
            "allowed_mib": 185,
            "cpu_seconds_per_mb": number / 1000,
            "faults": ["one"] * (number == 3),
        }
        for number in range(150)
    ]
    result = {"level": "hostile", "command": "bin/bench", "runs": 1, "machine": MACHINE, "rows": rows}
    assert "| s3, native | 150 | 1 | 86 | 185 | kind-6 | 0.149 | kind-149 |" in report(result)
