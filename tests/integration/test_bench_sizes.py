"""Level `sizes` of the bench with the real KCL, half a processor and few records."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.bench.kcl import BenchError
from tests.bench.kcl_run import KclCase, world
from tests.bench.sizes_group import limited
from tests.bench.sizes_run import run

pytestmark = pytest.mark.integration


def test_the_real_kcl_and_forked_shard_processes_have_half_a_processor() -> None:
    try:
        with limited(0.5):
            pass
    except BenchError as refusal:
        pytest.skip(f"no control group here: {refusal}")
    case = KclCase(shards=2, child="s3", records=4000, warm_up=1000, max_records=1000)
    with TemporaryDirectory() as folder, world(Path(folder)) as shared:
        done = run(case, 0.5, shared, name="bench")
        arrived = shared.backend.arrived()
    assert arrived.records == 4000 + 1000 + 2, "and one a shard that seals the last chunk"
    assert done.records == 4000
    assert min(done.cpu_seconds, done.start.seconds, done.start.cpu_seconds) > 0
    assert done.throttling.periods > 0
    assert done.peak_pss_bytes > 2**27
