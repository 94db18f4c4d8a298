"""Freed memory is kept while a shard is busy, and given back once it is quiet."""

import subprocess
import sys

from consumer.shard.process.memory import FreedMemory

MIB = 1024 * 1024

CHILD = """
from pathlib import Path
from consumer.shard.process.memory import FreedMemory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

def fill():
    held = [b"x" * 700 + bytes(number % 7) for number in range(50_000)]
    return resident_mib()

memory = FreedMemory()
memory.look(0)
memory.look(100 * 2**20)
seen = [resident_mib(), fill(), resident_mib()]
for _ in range(10):
    memory.look(100 * 2**20)
print(*seen, resident_mib())
"""


def kept_after(*bytes_read: int) -> list[bool]:
    memory = FreedMemory()
    kept = []
    for count in bytes_read:
        memory.look(count)
        kept.append(memory.is_kept)
    return kept


def test_a_shard_is_busy_from_its_first_megabytes_on() -> None:
    assert kept_after(0, 9 * MIB, 10 * MIB) == [False, True, True]


def test_a_busy_shard_keeps_its_memory() -> None:
    assert all(kept_after(*range(0, 200 * MIB, 2 * MIB))[10:])


def test_a_shard_is_quiet_when_little_has_come_for_ten_looks() -> None:
    kept = kept_after(0, 100 * MIB, *[100 * MIB] * 12)
    assert kept == [False, *[True] * 9, *[False] * 4]


def test_a_shard_whose_load_is_between_busy_and_quiet_stays_what_it_was() -> None:
    steady = range(0, 60 * 600_000, 600_000)
    assert not any(kept_after(*steady))
    assert all(kept_after(0, 100 * MIB, *[100 * MIB + count for count in steady])[1:])


def test_a_trickle_is_quiet() -> None:
    assert not any(kept_after(*range(0, 100 * 14_000, 14_000)))


def test_memory_of_freed_records_goes_back_once_the_shard_is_quiet() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True, text=True)
    start, full, busy, quiet = map(int, done.stdout.split())
    assert full - start > 30
    assert full - busy < 10
    assert quiet - start < 10
