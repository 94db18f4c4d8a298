"""Level `recovery`: under which leases, and what is killed."""

from pathlib import Path

import pytest

from consumer.domain.events import SHARD_PROCESS_NAME
from consumer.local.stack import FAST_LEASES
from consumer.settings.table import Backend
from tests.bench.production import production_leases
from tests.bench.recovery_level import KILLS, victims
from tests.chaos.processes import Proc
from tests.chaos.workers import Worker


@pytest.mark.parametrize("backend", ["s3", "bigquery"])
def test_the_waits_that_the_stack_cuts_are_those_of_the_properties_again(backend: Backend) -> None:
    leases = production_leases(backend)
    assert leases.keys() <= FAST_LEASES.keys()
    assert leases["failoverTimeMillis"] == "10000"
    assert leases["leaseAssignmentIntervalMillis"] == "2000"
    changed = {key for key, value in leases.items() if value != FAST_LEASES[key]}
    assert {"failoverTimeMillis", "leaseAssignmentIntervalMillis", "shutdownGraceMillis"} <= changed


class _Tree(Worker):
    """A supervisor with its JVM and two shard processes."""

    def processes(self) -> list[Proc]:
        names = {1: (0, "python"), 2: (1, "java"), 3: (2, SHARD_PROCESS_NAME), 4: (2, SHARD_PROCESS_NAME)}
        return [Proc(pid, started=pid, parent=parent, name=name) for pid, (parent, name) in names.items()]


def test_what_a_kill_takes(tmp_path: Path) -> None:
    worker = _Tree(backend="s3", name="a", stack_dir=tmp_path, settings={})
    taken = [[process.pid for process in victims(worker, event)] for event in KILLS]
    assert taken == [[3], [2], [1, 2, 3, 4]]
