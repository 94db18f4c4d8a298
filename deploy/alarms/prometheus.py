"""The rules for Prometheus: python -m deploy.alarms.prometheus > deploy/prometheus/rules.yml"""

from __future__ import annotations

import sys
from typing import Any

from consumer.settings import BACKENDS
from deploy.alarms.table import ALARMS, LATE_SECONDS, Alarm, Scope
from deploy.alarms.yaml import document

RUNBOOK = "docs/runbook.md"
_HEAD = "Made from deploy/alarms/table.py by python -m deploy.alarms.prometheus"


def rules() -> dict[str, Any]:
    """A rule file: one rule for each alarm."""
    return {"groups": [{"name": "consumer", "rules": [_rule(alarm) for alarm in ALARMS]}]}


def expression(alarm: Alarm) -> str:
    """Over all applications. Where the threshold depends on the backend, each has a part."""
    if not alarm.of_backend:
        return alarm.promql(Scope())
    scopes = (
        Scope(matchers=(f'backend="{backend}"',), late_seconds=str(LATE_SECONDS[backend]))
        for backend in BACKENDS
    )
    return " or ".join(map(alarm.promql, scopes))


def _rule(alarm: Alarm) -> dict[str, Any]:
    return {
        "alert": alarm.name,
        "expr": expression(alarm),
        "for": f"{alarm.minutes}m",
        "labels": {"severity": alarm.severity},
        "annotations": {
            "summary": f"{{{{ $labels.application }}}}: {alarm.means}",
            "runbook": f"{RUNBOOK}#{alarm.anchor}",
        },
    }


def page() -> str:
    """The whole file."""
    return document(rules(), _HEAD)


if __name__ == "__main__":
    sys.stdout.write(page())
