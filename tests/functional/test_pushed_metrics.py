"""What an OTLP receiver on loopback decodes, beside what /metrics serves, of records that a real shard process has
delivered and buried."""

from pathlib import Path

from consumer.daemon.metrics.table import METRICS
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.daemon import DEADLINE_SECONDS
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import ONE_RECORD_A_CHUNK
from tests.functional.harness.stage import Look, Stage, as_text, fresh
from tests.unit.daemon.metric_readers import Receiver, as_series, receiving

MEMORY = "consumer_process_memory_bytes"
"""It is looked up once in ten seconds."""
AGES = tuple(metric.name for metric in METRICS if metric.unit == "s" and metric.kind == "gauge")
DELIVERED, BURIED = 20, 3


def test_the_figures_that_are_pushed_are_those_that_are_served(
    s3: S3Stub, bigquery: BigQueryStub, tmp_path: Path
) -> None:
    with receiving() as receiver:
        settings = {
            **ONE_RECORD_A_CHUNK,
            "deadletter.max_ratio": "1",
            "metrics.interval": "1s",
            "metrics.otlp_endpoint": receiver.url,
        }
        with Stage(tmp_path, s3, bigquery, backend="s3", settings=settings) as stage:
            stage.start()
            shard = stage.open()
            shard.process([fresh(number) for number in range(1, DELIVERED + 1)], behind_ms=0)
            last = DELIVERED + BURIED
            shard.process([fresh(number, b"bad") for number in range(DELIVERED + 1, last + 1)], behind_ms=0)
            shard.tick_until_confirmed(last)
            served = stage.until(lambda look: ended(look) == (DELIVERED, BURIED, len(shard.confirmed)))
            pushed = pushed_next(receiver)
            assert without(pushed, MEMORY).keys() == without(served.metrics, MEMORY).keys()
            assert without(pushed, MEMORY, *AGES) == without(served.metrics, MEMORY, *AGES)


def ended(look: Look) -> tuple[float, float, float]:
    """Delivered, dead letters, and checkpoints that were taken: the last figures to move."""
    return (
        look.value("consumer_records_delivered_total"),
        look.value("consumer_records_dead_lettered_total"),
        look.value("consumer_checkpoints_total"),
    )


def without(metrics: dict[str, float], *names: str) -> dict[str, float]:
    return {series: value for series, value in metrics.items() if series.partition("{")[0] not in names}


def pushed_next(receiver: Receiver) -> dict[str, float]:
    """As /metrics spells it: of the push after the next, which is made from here on."""
    for _ in range(2):
        receiver.arrived.clear()
        assert receiver.arrived.wait(DEADLINE_SECONDS)
    receiver.requests = receiver.requests[-1:]
    return {as_text(*key): value for key, value in as_series(receiver).items()}
