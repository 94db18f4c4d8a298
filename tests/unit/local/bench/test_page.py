"""The committed page against the results that it is made from."""

import json

from consumer.local.bench.page import page
from consumer.settings import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs"


def test_the_committed_page_is_the_one_that_the_results_make() -> None:
    results = [json.loads(path.read_text()) for path in sorted((DOCS / "benchmarks").glob("*.json"))]
    assert {"shard", "memory"} <= {result["level"] for result in results}
    made = page(results)
    assert made == (DOCS / "benchmarks.md").read_text(), (
        "make it anew: python -m consumer.local.bench.page docs/benchmarks/*.json > docs/benchmarks.md"
    )
