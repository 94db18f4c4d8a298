"""Which alarms go off for what a daemon has shown, by promtool."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from consumer.daemon.metrics.table import METRICS
from consumer.settings import PROJECT_ROOT, Backend
from tests.functional.harness.stage import Look

NO_PROMTOOL = "promtool is not installed (apt-get install prometheus)"
RULES = PROJECT_ROOT / "deploy" / "prometheus" / "rules.yml"
_AGES = tuple(metric.name for metric in METRICS if metric.kind == "gauge" and metric.unit == "s")
_COUNTERS = tuple(metric.name for metric in METRICS if metric.kind == "counter")


def assert_alarms(
    expected: frozenset[str],
    looks: Sequence[Look],
    *,
    backend: Backend,
    lasts: bool,
    minutes: int,
    folder: Path,
) -> None:
    """That these alarms of `deploy`, and no others, go off within so many minutes. Prometheus sees one look a minute,
    and from the last on what that shows. Where it `lasts`, of which there are three looks, ages grow on, and counters
    as between the first two."""
    series = {name for look in looks for name in look.metrics}
    common = f'application="player-log",backend="{backend}"'
    written = folder / "alarms.json"
    content = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": _with(name, common),
                        "values": " ".join(_values(name, looks, lasts=lasts, minutes=minutes)),
                    }
                    for name in sorted(series)
                ],
                "promql_expr_test": [
                    {
                        "expr": f'group by (alertname) (last_over_time(ALERTS{{alertstate="firing"}}[{minutes}m]))',
                        "eval_time": f"{minutes}m",
                        "exp_samples": [
                            {"labels": f'{{alertname="{alarm}"}}', "value": 1} for alarm in sorted(expected)
                        ],
                    }
                ],
            }
        ],
    }
    written.write_text(json.dumps(content))
    done = subprocess.run(["promtool", "test", "rules", written], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def _with(name: str, common: str) -> str:
    metric, _, own = name.rstrip("}").partition("{")
    return f"{metric}{{{common}{',' if own else ''}{own}}}"


def _values(name: str, looks: Sequence[Look], *, lasts: bool, minutes: int) -> Iterator[str]:
    """In promtool's notation: `_` is a sample that is missing, `stale` the end of a series."""
    known = False
    for look in looks:
        value = look.metrics.get(name)
        yield repr(value) if value is not None else "stale" if known else "_"
        known = value is not None
    last = looks[-1].metrics.get(name)
    if last is not None:
        yield f"{last!r}+{_growth(name, looks) if lasts else 0.0!r}x{minutes}"


def _growth(name: str, looks: Sequence[Look]) -> float:
    """In a minute."""
    metric = name.partition("{")[0]
    first, second, third = (look.metrics.get(name, 0.0) for look in looks)
    if metric in _AGES:
        return 60.0 if third > second else 0.0
    return second - first if metric in _COUNTERS else 0.0
