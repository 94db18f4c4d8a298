"""Freed memory is kept while a shard is busy, and given back once it is quiet."""

import subprocess
import sys

from consumer.shard.memory import Quiet

MIB = 1024 * 1024

CHILD = """
from pathlib import Path
from consumer.shard.memory import give_back_freed_memory, keep_freed_memory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

def fill():
    held = [b"x" * 700 + bytes(number % 7) for number in range(50_000)]
    return len(held)

keep_freed_memory()
before = resident_mib()
fill()
kept = resident_mib()
give_back_freed_memory()
print(before, kept, resident_mib())
"""


def quiet_after(*bytes_read: int) -> list[bool]:
    quiet = Quiet()
    return [quiet.has_come(count) for count in bytes_read]


def test_a_busy_shard_is_not_quiet() -> None:
    assert not any(quiet_after(*range(0, 100 * MIB, 2 * MIB)))


def test_a_shard_is_quiet_ten_looks_after_its_last_megabyte_and_once() -> None:
    told = quiet_after(*range(0, 20 * MIB, 2 * MIB), *[20 * MIB] * 30)
    assert told.index(True) == 10 + 9
    assert sum(told) == 1


def test_a_trickle_counts_as_quiet() -> None:
    assert sum(quiet_after(20 * MIB, *range(20 * MIB, 20 * MIB + 40 * 14_000, 14_000))) == 1


def test_a_shard_that_never_had_much_has_nothing_to_give_back() -> None:
    assert not any(quiet_after(*[MIB] * 50))


def test_each_busy_time_is_followed_by_one_quiet_time() -> None:
    one = [20 * MIB] * 20
    two = [60 * MIB] * 20
    assert sum(quiet_after(*one, *two)) == 2


def test_freed_records_stay_in_memory_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True, text=True)
    before, kept, given_back = map(int, done.stdout.split())
    assert kept - before > 20
    assert given_back - before < 15
