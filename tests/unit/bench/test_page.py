"""The committed page against the results that it is made from."""

import json

from consumer.settings import PROJECT_ROOT
from tests.bench.page import page

DOCS = PROJECT_ROOT / "docs"


def test_the_committed_page_is_the_one_that_the_results_make() -> None:
    results = [json.loads(path.read_text()) for path in sorted((DOCS / "benchmarks").glob("*.json"))]
    assert {"shard", "memory"} <= {result["level"] for result in results}
    made = page(results)
    assert made == (DOCS / "benchmarks.md").read_text(), (
        "make it anew: python -m tests.bench.page docs/benchmarks/*.json > docs/benchmarks.md"
    )


def test_results_of_one_level_share_a_section() -> None:
    machine = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
    row = {"backend": "s3", "started": "forked", "state": "load", "peak_rss_mib": 1}
    rows = [{**row, "peak_pss_mib": 1, "allowed_mib": 2}]
    results = [
        {"level": "memory", "command": command, "runs": 1, "machine": machine, "rows": rows}
        for command in ("bin/bench memory", "bin/bench memory --only s3")
    ]
    made = page(results)
    assert made.count("## ") == 1
    assert [line.split("`")[1] for line in made.splitlines() if line.startswith("`bin/bench")] == [
        "bin/bench memory",
        "bin/bench memory --only s3",
    ]
    assert made.count("| s3 | forked | load | 1 | 1 | 2 |") == 2


def test_many_hostile_kinds_are_a_row_for_each_shard_process() -> None:
    machine = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
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
    result = {"level": "hostile", "command": "bin/bench", "runs": 1, "machine": machine, "rows": rows}
    assert "| s3, native | 150 | 1 | 86 | 185 | kind-6 | 0.149 | kind-149 |" in page([result])
