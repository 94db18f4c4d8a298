import shutil
import subprocess
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumer.daemon.metrics.metric import COMMON_LABELS, Snapshot
from consumer.daemon.metrics.table import METRICS
from consumer.daemon.metrics.text import MetricsText, render
from consumer.daemon.report.health import State
from consumer.domain.latency import BOUNDS_SECONDS
from consumer.settings import BACKENDS
from consumer.settings.table import Backend
from tests.unit.daemon.metric_readers import series
from tests.unit.daemon.statuses import snapshot

SCRAPE_BYTES = 100_000
LONG_NAME = "player-logs-of-a-game-with-a-long-name-delivered-to-s3-in-europe"


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_rendered_is_the_table(backend: Backend) -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(render(snapshot(2, backend=backend)).decode())
    }
    for metric in METRICS:
        family = families.pop(metric.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == {*COMMON_LABELS, *metric.labels}
    assert not families


def test_the_figures_are_those_of_the_shard_processes() -> None:
    found = series(render(snapshot(2)))
    assert found["consumer_records_read_total", ()] == 2 * 1_234_567
    assert found["consumer_records_in_flight", ()] == 800
    assert found["consumer_conservation_records", ()] == 0
    assert found["consumer_freshness_seconds", ()] == 13.5
    assert found["consumer_shard_freshness_seconds", (("shard", "shardId-000000000000"),)] == 12.5
    assert found["consumer_shard_checkpoint_age_seconds", (("shard", "shardId-000000000001"),)] == 4.25
    assert found["consumer_behind_latest_seconds", ()] == 1.5
    assert found["consumer_in_flight_chunks", ()] == 6
    assert found["consumer_in_flight_chunks_limit", ()] == 16
    assert found["consumer_retries_total", (("class", "throttled"),)] == 6
    assert found["consumer_dead_letters_total", (("reason", "too_large"),)] == 14
    assert found["consumer_objects_written_total", ()] == 1024
    assert found["consumer_jvm_restarts_total", ()] == 2
    assert found["consumer_process_memory_bytes", (("process", "jvm"),)] == 500_000_000
    assert found["consumer_state", (("state", "running"),)] == 1
    assert sum(found["consumer_state", (("state", state),)] for state in State) == 1


def test_a_histogram_counts_up_to_all_requests() -> None:
    found = series(render(snapshot(2)))
    counts = [
        found["consumer_write_latency_seconds_bucket", (("le", str(bound)),)] for bound in BOUNDS_SECONDS
    ]
    assert counts == sorted(counts)
    total = found["consumer_write_latency_seconds_count", ()]
    assert total == found["consumer_write_latency_seconds_bucket", (("le", "+Inf"),)] == 2 * 7 * 66
    assert found["consumer_write_latency_seconds_sum", ()] == 2469


def test_metrics_of_the_other_backend_have_no_series() -> None:
    assert ("consumer_rows_written_total", ()) not in series(render(snapshot()))
    assert ("consumer_objects_written_total", ()) not in series(render(snapshot(backend="bigquery")))


def test_a_shard_that_has_gone_has_no_series_and_its_counts_stay_in_those_of_the_application() -> None:
    both = snapshot(2)
    status = replace(both.status, shards=both.status.shards[:1])
    found = series(render(replace(both, status=status)))
    assert found["consumer_records_read_total", ()] == 2 * 1_234_567
    assert not [key for key in found if ("shard", "shardId-000000000001") in key[1]]


def test_a_worker_without_shards_has_no_freshness_and_says_so_of_its_shards() -> None:
    found = series(render(snapshot(0)))
    assert found["consumer_shards", ()] == 0
    assert ("consumer_freshness_seconds", ()) not in found
    assert found["consumer_records_read_total", ()] == 0


def test_a_scrape_of_64_shards_is_small() -> None:
    assert len(render(snapshot(64, application=LONG_NAME))) < SCRAPE_BYTES


def test_scrapers_within_a_second_get_the_same_bytes() -> None:
    now = [10.0]
    asked: list[float] = []

    def counted() -> Snapshot:
        asked.append(now[0])
        return snapshot()

    text = MetricsText(counted, monotonic=lambda: now[0])
    first = text.metrics_text()
    now[0] += 0.9
    assert text.metrics_text() is first
    now[0] += 0.2
    assert text.metrics_text() == first
    assert asked == [10.0, 11.1]


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)"
)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shards", [0, 2])
def test_promtool_finds_nothing(backend: Backend, shards: int) -> None:
    text = render(snapshot(shards, backend=backend))
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (found.stdout + found.stderr, found.returncode) == (b"", 0)
