"""Level `kcl` of the bench with the real KCL and few records."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.bench.kcl_run import KclCase, run, world

pytestmark = pytest.mark.integration


def test_prepared_answers_go_through_the_real_kcl_and_every_record_arrives() -> None:
    case = KclCase(shards=2, child="s3", records=4000, warm_up=1000, max_records=1500)
    with TemporaryDirectory() as folder, world(Path(folder)) as shared:
        done = run(case, shared, name="bench")
        arrived = shared.backend.arrived()
    assert arrived.records == 4000 + 1000 + 2, "and one a shard that seals the last chunk"
    assert done.records == 4000
    assert min(done.start.root, done.start.descendants, done.cost.root, done.seconds) > 0
    assert done.start.root > done.start.descendants, "the JVM is the root"
    assert done.jvm_peak_rss_bytes > 2**26
