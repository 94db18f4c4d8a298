"""`compact` on the embedded stack, killed by SIGKILL on its way: DuckDB, reading by the rule of docs/compaction.md,
sees each record once, before, amid and behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from consumer.local import stack as stacks
from consumer.local.generate import Logs
from consumer.local.stack import Stack
from consumer.settings import PROJECT_ROOT
from tests.functional.harness.planted import HOUR_MS, Planted, chunked

pytestmark = pytest.mark.timeout(1200)

YESTERDAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
HOURS, CHUNKS, RECORDS = 3, 8, 50
"""Of the day, of an hour, of a chunk."""
KILLS = {
    "5:PUT": (0, 0, 0),
    "6:PUT": (1, 0, 0),
    "6:PUT ": (1, 1, 0),
    "6:PUT  ": (1, 1, 1),
    "8:PUT": (2, 2, 1),
}
"""Where the runs are killed, one after the other, and how many manifests, objects and paths that are complete are there
then. The first two puts of a run are those of the audit and of the lock."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stacks.running(tmp_path_factory.mktemp("compact")) as running:
        yield running.stack


@pytest.fixture(autouse=True)
def credentials(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stacks.environment(stack).items():
        monkeypatch.setenv(name, value)


def delivered(stack: Stack, name: str) -> tuple[Planted, Counter[bytes]]:
    planted = Planted(stack, name)
    count = HOURS * CHUNKS * RECORDS
    lines = list(Logs(count=count, seed=5, base_time=YESTERDAY).lines())
    begin_ms = int(YESTERDAY.timestamp() * 1000)
    arrivals = [begin_ms + number * HOURS * HOUR_MS // count for number in range(count)]
    for number, chunk in enumerate(chunked(iter(lines), arrivals, RECORDS)):
        planted._deliver("s3", f"shardId-{number % 2:012}", chunk)
    return planted, Counter(lines)


def compact(planted: Planted, *, kill: str = "0") -> subprocess.CompletedProcess[str]:
    given = [f"--set={key}={value}" for key, value in planted.overrides("s3").items()]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.functional.harness.killed_command",
            kill.strip(),
            "compact",
            f"--date={YESTERDAY:%Y-%m-%d}",
            "--format=parquet",
            "--yes",
            "--properties=/dev/null",
            *given,
        ],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def downloaded(planted: Planted, folder: Path) -> Path:
    client = planted.stack.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=planted.stack.bucket, Prefix=planted.name)
    for page in pages:
        for one in page.get("Contents", ()):
            file = folder / one["Key"]
            file.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(planted.stack.bucket, one["Key"], str(file))
    return folder / planted.name


PATH = "regexp_extract(filename, 'dt=[^/]+/hour=[^/]+')"


def seen(planted: Planted, folder: Path) -> Counter[bytes]:
    """By the rule, in SQL."""
    raw = downloaded(planted, folder)
    compacted = f"{raw}-compacted"
    database = duckdb.connect()
    complete = database.sql(
        f"SELECT {PATH.replace('filename', 'file')} FROM glob('{compacted}/*/*/_SUCCESS')"
    )
    paths = [path for (path,) in complete.fetchall()]
    query = (
        f"SELECT json::VARCHAR FROM read_ndjson_objects('{raw}/*/*/*.ndjson.gz', filename = true)"
        f" WHERE NOT list_contains($paths, {PATH})"
    )
    if list(Path(compacted).glob("*/*/*.parquet")):
        query += (
            f" UNION ALL SELECT log FROM read_parquet('{compacted}/*/*/*.parquet', filename = true)"
            f" WHERE list_contains($paths, {PATH})"
        )
    rows: list[tuple[Any, ...]] = database.execute(query, {"paths": paths}).fetchall()
    return Counter(row[0].encode() for row in rows)


def test_killed_on_its_way_a_reader_sees_each_record_once(stack: Stack, tmp_path: Path) -> None:
    planted, expected = delivered(stack, "compact-killed")
    assert seen(planted, tmp_path / "before") == expected
    for kill, there in KILLS.items():
        run = compact(planted, kill=kill)
        assert run.returncode == -9, run.stderr
        folder = tmp_path / kill
        assert seen(planted, folder) == expected
        names = [file.name for file in Path(f"{folder / planted.name}-compacted").glob("*/*/*")]
        kinds = [re.sub("[0-9]+", "", name) for name in names]
        found = (
            kinds.count("_manifest-.json"),
            sum("-compacted-" in one for one in kinds),
            kinds.count("_SUCCESS"),
        )
        assert found == there
    run = compact(planted)
    assert run.returncode == 0, run.stderr
    folder = tmp_path / "after"
    assert seen(planted, folder) == expected
    objects = sorted(Path(f"{folder / planted.name}-compacted").glob("*/*/*.parquet"))
    assert len(objects) == HOURS
    again = compact(planted)
    assert (again.returncode, "nothing new in 3 paths" in again.stdout) == (0, True), again.stderr
