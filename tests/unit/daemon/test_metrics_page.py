from consumer.daemon.metrics.page import page
from consumer.daemon.metrics.table import METRICS
from consumer.settings import PROJECT_ROOT


def test_the_page_is_made_from_the_table() -> None:
    committed = (PROJECT_ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert committed == page(), "make it anew: python -m consumer.daemon.metrics.page > docs/metrics.md"


def test_every_metric_has_a_name_of_its_own_and_says_what_it_means() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.meaning and metric.source and metric.unit for metric in METRICS)
