"""`bin/demo` as a newcomer runs it: what it says, and that its lines work when they are copied."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from consumer.settings import PROJECT_ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


@dataclass(frozen=True, slots=True)
class Demo:
    """One run; `environment` is that of the shell it ran in."""

    code: int
    out: str
    err: str
    environment: dict[str, str]

    def shown(self) -> dict[str, list[str]]:
        """The lines that are shown beneath each command to copy."""
        found: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in self.out.splitlines():
            if line.startswith("  bin/"):
                lines = found.setdefault(line.strip(), [])
            elif line.startswith("    "):
                lines.append(line.removeprefix("    "))
        return found


def demo(folder: Path, *arguments: str) -> Demo:
    environment = os.environ | {"CONSUMER_LOCAL_DIR": str(folder / "local"), "TMPDIR": str(folder)}
    done = subprocess.run(
        ["bin/demo", *arguments],
        cwd=PROJECT_ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Demo(done.returncode, done.stdout, done.stderr, environment)


GOOD, BAD = 1000, 3000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """With records that are rows, and behind them so many without a key that BigQuery's shards are held."""
    folder = tmp_path_factory.mktemp("demo")
    good = [json.dumps({"player_id": f"{number % 16:x}" * 32, "n": number}) for number in range(GOOD)]
    bad = [json.dumps({"user": f"user-{number}", "n": number}) for number in range(BAD)]
    records = folder / "records.ndjson"
    records.write_text("\n".join([*good, *bad]))
    yield demo(folder, "--input", str(records))
    shutil.rmtree(folder)


def test_a_demo_says_what_it_does_and_what_it_waits_for(run: Demo) -> None:
    said = [line.split(" s  ", 1)[1] for line in run.err.splitlines()]
    steps = (
        "4,000 records read",
        "starting AWS",
        "bin/start s3",
        "all 4,000",
        "stopping both",
        "reading every",
    )
    places = [next(place for place, line in enumerate(said) if line.startswith(step)) for step in steps]
    assert places == sorted(places)
    assert any("waiting for the KCL's first leases" in line for line in said)


def test_a_demo_ends_with_its_bill(run: Demo) -> None:
    _, _, bill = run.out.partition("a million of these records would cost")
    lines = [line.split("  ", 2)[1:] for line in bill.splitlines() if line.startswith("  0.")]
    usd = {label.partition(" (")[0]: float(amount) for amount, label in lines}
    assert usd["AWS: data transfer out to Google"] > 0
    assert usd["Kinesis: PUT payload units"] == 0.014
    assert usd["DynamoDB: write request units"] > 0


def test_the_lines_of_a_demo_work_as_they_are_printed(run: Demo) -> None:
    shown = run.shown()
    assert [line.split()[1:3] for line in shown] == [
        ["s3", "ls"],
        ["s3", "cat"],
        ["sql", '"SELECT'],
        ["sql", '"SELECT'],
    ]
    for line, expected in shown.items():
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=PROJECT_ROOT,
            env=run.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed = done.stdout.splitlines()
        assert len(printed) == len(expected) > 0
        for full, brief in zip(printed, expected, strict=True):
            assert full.startswith(brief.removesuffix("…")), line


def test_records_that_are_held_are_not_called_lost(run: Demo) -> None:
    assert run.code == 1, run.err
    [row] = [line.split() for line in run.out.splitlines() if line.startswith("bigquery  ")]
    records, delivered, dead, waiting, lost, duplicated, other = (
        int(text.replace(",", "")) for text in row[1:8]
    )
    assert (records, lost, duplicated, other) == (GOOD + BAD, 0, 0, 0)
    assert delivered + dead + waiting == records
    assert waiting > 0
    assert "they are not lost: the next start reads them again" in run.out
    assert "would become dead letters" in run.out
    assert "no value in player_id" in run.out
    assert re.search(
        r"Which settings fit such records: bin/check bigquery --sample /.*/records.ndjson", run.out
    )
