"""What an operator sees of each thing that can happen: the state in a word, the answer of /healthz, metrics that move,
events in the log, and the alarms that go off, from real shard processes and supervisors. The rows are in happenings.py
and in docs/operate.md, and the same in both."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from consumer.daemon.metrics.table import METRICS
from consumer.daemon.report.health import State
from consumer.domain.dead_letters import Reason
from consumer.domain.event_names import EVENTS
from consumer.settings import PROJECT_ROOT
from deploy.alarms.table import ALARMS
from tests.functional.happenings import HAPPENINGS, Row, Way
from tests.functional.harness.alarms import NO_PROMTOOL, assert_alarms
from tests.functional.harness.bigquery_stub import BigQueryStub
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.stage import Look, Stage

WAYS = [(what, how) for what, row in HAPPENINGS.items() for how in row.ways]
NOBODY = Look(at=0)
RENDERED_EVERY = 1.1
"""Seconds after which what /metrics shows is another look."""


@pytest.mark.parametrize(("what", "how"), WAYS)
def test_it_shows_in_state_health_metrics_log_and_alarms(
    what: str, how: str, s3: S3Stub, bigquery: BigQueryStub, tmp_path: Path
) -> None:
    row = HAPPENINGS[what]
    way = row.ways[how]
    s3.rule, bigquery.answer = way.rule, way.answer
    for name in way.made:
        (tmp_path / name).touch()
    environment = {name: str(tmp_path / name) for name in way.files}
    with Stage(
        tmp_path, s3, bigquery, backend=way.backend, settings=way.settings, environment=environment
    ) as stage:
        looks = watch(stage, row, way)
        for event in row.events:
            stage.wait_for_event(event)
        troubles = {line["event"] for line in stage.logged() if line["level"] in ("WARNING", "ERROR")}
    assert troubles <= {*row.events, "note", "jvm_output"}
    assert [look.value("consumer_conservation_records") for look in looks] == [0] * len(looks)
    if shutil.which("promtool") is None:
        pytest.skip(f"no alarm is looked at: {NO_PROMTOOL}")
    assert_alarms(
        frozenset(row.alarms),
        looks,
        backend=way.backend,
        lasts=row.lasts,
        minutes=row.minutes,
        folder=tmp_path,
    )


def watch(stage: Stage, row: Row, way: Way) -> list[Look]:
    """Lets it happen; what is seen before it, of it, and behind it."""
    before = NOBODY
    if way.starts:
        stage.start()
        if way.opens:
            stage.shard = stage.open()
        before = stage.until(lambda look: look.state == State.RUNNING and look.value("consumer_ready") == 1)
    way.act(stage)
    during = stage.until(lambda look: shows(row, way, before, look))
    looks = [before, during]
    if row.lasts:
        # Of another rendering of /metrics, which happens once a second at most, whether or not a figure has moved
        looks.append(
            stage.until(lambda look: look.at - during.at > RENDERED_EVERY and shows(row, way, before, look))
        )
    if way.cure is not None:
        way.cure(stage)
        looks.append(stage.until(lambda look: look.state == row.then))
    return looks


def shows(row: Row, way: Way, before: Look, look: Look) -> bool:
    told = look.value("consumer_healthy"), look.value(f'consumer_state{{state="{row.state}"}}')
    if row.code is not None and told != (row.code == 200, 1):
        return False
    moved = {**row.moved, **way.moved}
    by = {metric: look.value(metric) - before.value(metric) for metric in moved}
    return (look.state, look.code) == (row.state, row.code) and all(
        by[metric] == amount if amount is not None else by[metric] > 0 for metric, amount in moved.items()
    )


# ---- the rows ----


def test_what_the_rows_name_is_declared() -> None:
    declared = {metric.name: metric.labels for metric in METRICS}
    for row in HAPPENINGS.values():
        for name in row.moved:
            metric, _, labels = name.partition("{")
            assert set(re.findall(r"(\w+)=", labels)) <= set(declared[metric])
        assert set(row.events) <= set(EVENTS)
        assert set(row.alarms) <= {alarm.name for alarm in ALARMS}


def test_every_alarm_goes_off_for_something_but_for_the_one_that_nothing_may_set_off() -> None:
    gone_off = {alarm for row in HAPPENINGS.values() for alarm in row.alarms}
    assert {alarm.name for alarm in ALARMS} - gone_off == {"ConsumerNotConserved"}


def test_every_state_is_seen() -> None:
    seen = {row.state for row in HAPPENINGS.values()} - {None}
    assert set(State) == seen


def test_a_bad_record_of_every_kind_is_among_them() -> None:
    moved = {name for row in HAPPENINGS.values() for way in row.ways.values() for name in way.moved}
    reasons = {match[1] for name in moved if (match := re.search(r'reason="(\w+)"', name))}
    assert reasons == {*get_args(Reason)} - {"judged_otherwise"}  # which holds the shard


# ---- the page ----


def rows_of_the_page() -> Mapping[str, Mapping[str, str]]:
    """The cells of each row of "What happens when" by the heads of their columns, and each row by its first cell."""
    page = (PROJECT_ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    section = re.split(r"^##? ", page.partition("# What happens when\n")[2], flags=re.MULTILINE)[0]
    head, _, *rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    assert all(len(row) == len(head) for row in rows)
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_the_page_has_these_rows() -> None:
    assert list(rows_of_the_page()) == list(HAPPENINGS)


@pytest.mark.parametrize("what", HAPPENINGS)
def test_the_page_says_what_shows(what: str) -> None:
    row, cells = HAPPENINGS[what], rows_of_the_page()[what]

    def named(column: str) -> list[str]:
        return re.findall("`([^`]+)`", cells[column])

    assert named("state") == [state for state in (row.state, row.then) if state is not None]
    assert cells["`/healthz`"] == ("no answer" if row.code is None else str(row.code))
    assert named("metrics that move") == list(row.moved)
    assert named("log events") == list(row.events)
    assert named("alarms") == list(row.alarms)
    assert cells["what the daemon does"]
