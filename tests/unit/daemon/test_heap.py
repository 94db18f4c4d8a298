"""The heap of the JVM by shards and memory."""

from pathlib import Path

import pytest

from consumer.daemon.supervise.heap import LEAST_MIB, Heap, chosen_by, heap_for, memory_bytes, needed_mib

GIB = 1 << 30


@pytest.mark.parametrize(
    ("shards", "memory_gib", "expected"),
    [
        (0, 1, Heap(384, 384)),
        (2, 8, Heap(384, 384)),
        (3, 8, Heap(488, 488)),
        (4, 8, Heap(608, 608)),
        (16, 8, Heap(2048, 2048)),
        (16, 4, Heap(1638, 2048)),
        (16, 1, Heap(409, 2048)),
        (16, 0.5, Heap(384, 2048)),
    ],
)
def test_every_shard_may_lag_within_two_fifths_of_the_memory(
    shards: int, memory_gib: float, expected: Heap
) -> None:
    found = heap_for(shards, memory_bytes=int(memory_gib * GIB))
    assert found == expected
    assert found.is_enough == (found.mib == found.needed_mib)


def test_smaller_answers_need_less() -> None:
    assert needed_mib(16, answer_mib=1) == 128 + 16 * 12
    assert needed_mib(0) < LEAST_MIB


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["-XX:+UseSerialGC", "-Xmx1g"], "-Xmx1g"),
        (["-XX:MaxRAMPercentage=50"], "-XX:MaxRAMPercentage=50"),
        (["-XX:MaxHeapSize=1g"], "-XX:MaxHeapSize=1g"),
        (["-Xms1g", "-Xss1m", "-XX:MaxMetaspaceSize=1g"], None),
        ([], None),
    ],
)
def test_an_option_that_says_so_chooses_the_heap(options: list[str], chosen: str | None) -> None:
    assert chosen_by(options) == chosen


def groups(folder: Path, cgroup: str, **limits: str) -> tuple[Path, Path]:
    """Files of control groups, by path with a double underscore for each slash, and what /proc says."""
    for path, text in limits.items():
        file = folder / "cgroup" / path.replace("__", "/").replace("memory_", "memory.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    own = folder / "own"
    own.write_text(cgroup)
    return folder / "cgroup", own


def test_a_control_group_of_version_2_limits_the_memory(tmp_path: Path) -> None:
    found = groups(
        tmp_path,
        "0::/system.slice/consumer@s3.service\n",
        **{
            "system.slice__memory_max": "300000000\n",
            "system.slice__consumer@s3.service__memory_max": "max\n",
            "other.slice__memory_max": "1\n",
        },
    )
    assert memory_bytes(*found) == 300_000_000


def test_a_control_group_of_the_first_version_limits_the_memory(tmp_path: Path) -> None:
    found = groups(
        tmp_path,
        "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n",
        memory__docker__a__memory_limit_in_bytes="200000000",
        docker__a__memory_max="1",
    )
    assert memory_bytes(*found) == 200_000_000


def test_a_container_sees_its_own_group_at_the_root(tmp_path: Path) -> None:
    assert memory_bytes(*groups(tmp_path, "0::/\n", memory_max="100000000")) == 100_000_000


def test_without_control_groups_there_is_the_memory_of_the_host(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path / "none", tmp_path / "none") > 100_000_000
