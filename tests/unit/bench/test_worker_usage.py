"""What is charged to the workers of a host."""

import os
from pathlib import Path

from consumer.domain.events import SHARD_PROCESS_NAME
from tests.bench.worker_usage import Parts, cpu_seconds, memory, parts, spent
from tests.chaos.processes import Proc, tree


def process(pid: int, name: str) -> Proc:
    return Proc(pid, started=pid, parent=0, name=name)


def test_all_below_the_supervisors_is_a_jvm_or_stands_beside_one() -> None:
    trees = [
        [process(1, "python"), process(2, "java"), process(3, "python"), process(4, "sh")],
        [process(5, "python"), process(6, "java"), process(7, SHARD_PROCESS_NAME)],
        [],
    ]
    found = parts(trees)
    assert [one.pid for one in found.jvms] == [2, 6]
    assert [one.pid for one in found.beside] == [3, 4, 7]
    assert [one.pid for one in found.shard_processes] == [7]


def test_time_is_counted_from_the_first_look_or_from_the_start_of_a_process() -> None:
    assert spent({(1, 1): 5.0, (2, 2): 7.0}, {(1, 1): 6.5, (3, 3): 0.25, (2, 9): 1.0}) == 2.75


def test_this_process_has_taken_something() -> None:
    own = tree(os.getpid())[0]
    assert sum(cpu_seconds([own]).values()) > 0
    taken = memory(Parts([own], [own]))
    assert taken.jvm_rss_bytes[0] >= taken.beside_pss_bytes > 2**20
    assert taken.jvm_threads == len(list(Path("/proc/self/task").iterdir()))


def test_a_process_that_has_ended_has_taken_nothing() -> None:
    ended = process(2**22 + 1, SHARD_PROCESS_NAME)
    assert cpu_seconds([ended]) == {}
    taken = memory(Parts([ended], [ended]))
    assert (taken.jvm_rss_bytes, taken.beside_pss_bytes, taken.shard_threads) == ([0], 0, 0)
