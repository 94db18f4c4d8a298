"""What a quiet worker is measured with, and how it is shown."""

import pytest

from consumer.settings import load
from tests.bench.idle_level import VARIANTS, Variant
from tests.bench.report import report

MACHINE = {"cpu": "some", "cores": 2, "memory_gib": 4, "system": "Linux", "python": "3.13"}
ROW = {
    "shards": 16,
    "settings": "as shipped",
    "jvm_cpu_seconds_per_hour": 300,
    "beside_cpu_seconds_per_hour": 40,
    "supervisor_cpu_seconds_per_hour": 9,
    "kinesis_reads_per_hour": 57_600,
    "dynamodb_read_units_per_hour": 100,
    "dynamodb_write_units_per_hour": 200,
    "jvm_rss_mib": 300,
    "later": "–",
}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_variant_sets_what_its_name_says(variant: Variant) -> None:
    settings = load("s3", overrides={"s3.bucket": "bucket", **variant.settings})
    assert all(settings.kcl[key] == value for key, value in variant.settings.items())
    assert all(f"{key} = {value}" in variant.name for key, value in variant.settings.items())


def test_the_result_becomes_a_table() -> None:
    text = report(
        {"level": "idle", "command": "bin/bench idle", "runs": 1, "machine": MACHINE, "rows": [ROW]}
    )
    assert "| 16 | as shipped | 300 | 40 | 9 | 57,600 | 100 | 200 | 300 | – |" in text
