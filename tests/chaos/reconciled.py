"""What bin/reconcile says at the end of a run: it knows nothing of what was put, and holds the backends against each
other."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consumer.local import tethered
from consumer.settings.table import BACKENDS, Backend

_SECONDS = 600
_FEED_BEGINS = "2024-01-01"
"""The records' own times."""
_SHOWN = 5


def reconcile(directory: Path, chosen: Mapping[Backend, Mapping[str, str]], *, forgotten: int) -> list[str]:
    """What is wrong, in lines. `forgotten` rows are doubled by BigQuery alone, which the run knows of. The stack of the
    directory has to run, the workers have not."""
    settings = [
        f"--set-{backend}={key}={value}" for backend in BACKENDS for key, value in chosen[backend].items()
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "consumer",
            "reconcile",
            "--local",
            f"--from={_FEED_BEGINS}",
            "--json",
            *settings,
        ],
        env=tethered.environment(directory),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if not done.stdout:
        return done.stderr.strip().splitlines()[-_SHOWN:] or [
            f"ended with {done.returncode}, and said nothing"
        ]
    return faults(json.loads(done.stdout), forgotten=forgotten)


def faults(found: dict[str, Any], *, forgotten: int) -> list[str]:
    """Of the JSON that it prints."""
    counts = {name: count for name, count in found.items() if "_in_" in name and count}
    if counts.get("doubled_in_bigquery", 0) == forgotten:
        counts.pop("doubled_in_bigquery", None)
    lines = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items()]
    if not found["s3"]["records"]:
        lines.append("no record was compared")
    if counts:
        lines += [
            f"{one['problem']} in {one['backend']}: {one['where']}" for one in found["records"][:_SHOWN]
        ]
    return [*lines, *found["incomplete_chunks"], *found["problems"]]
