"""Records of every hostile kind, good ones between them, through real shard processes: each is delivered or becomes a
dead letter with the reason that is right for it, no good one is lost, memory and CPU time stay within their limits."""

from pathlib import Path

import pytest

from tests.bench.hostile_cases import HostileCase, hostile_cases
from tests.bench.hostile_run import run, running, small_load
from tests.hostile.kinds import SMALL_BYTES, kinds_of

NAMES = (
    "s3, native",
    "s3, Python",
    "insert_all, log, 1 digit, native",
    "insert_all, log, 1 digit, Python",
    "insert_all, fields and metadata, 0 digits, native",
    "load, log, 1 digit, native",
    "storage_write, log, 1 digit, native",
    "storage_write, fields with JSON, 1 digit, native",
    "storage_write, fields and overflow, 1 digit, Python",
)
CASES = {case.name: case for case in hostile_cases()}


@pytest.mark.parametrize("case", [CASES[name] for name in NAMES], ids=lambda case: case.name)
def test_no_record_stops_the_shard_hides_another_one_or_uses_up_the_memory(
    case: HostileCase, tmp_path: Path
) -> None:
    with running(case, tmp_path) as place:
        done = run(case, small_load(kinds_of(SMALL_BYTES)), place)
    assert done.faults == []
