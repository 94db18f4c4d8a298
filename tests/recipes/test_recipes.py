"""Each query of docs/recipes, on what the daemon delivered, tells what the records say."""

from datetime import UTC, date, datetime

import pytest

from tests.recipes import answers, pages
from tests.recipes.answers import Row
from tests.recipes.conftest import Athena, BigQuery

pytestmark = pytest.mark.timeout(600)  # the first test waits for the delivery of everything


def in_utc(rows: list[Row]) -> list[Row]:
    """Athena's timestamps have no zone."""
    return [
        tuple(
            cell.replace(tzinfo=UTC) if isinstance(cell, datetime) and cell.tzinfo is None else cell
            for cell in row
        )
        for row in rows
    ]


ANSWERS = {
    "events-by-player-and-hour": [answers.by_player_and_hour, answers.by_day_of_tokyo],
    "sessions": [answers.sessions],
    "retention": [answers.retention],
    "funnel": [answers.funnel],
    "late-data": [answers.days_late, lambda: answers.days_that_arrived(date(2026, 11, 14))],
    "s3-and-bigquery": [answers.by_day_and_event],
}
PAGES = pytest.mark.parametrize("page", ANSWERS)


@PAGES
def test_athena_answers_what_the_records_say(page: str, athena: Athena) -> None:
    asked = pages.queries_of(page, "Athena")
    for query, answer in zip(asked, ANSWERS[page], strict=True):
        told = answer()
        assert told
        assert in_utc(athena.ask(query)) == told


@PAGES
def test_bigquery_answers_what_the_records_say(page: str, tables: BigQuery) -> None:
    asked = pages.queries_of(page, "BigQuery")
    for query, answer in zip(asked, ANSWERS[page], strict=True):
        assert tables.ask(query) == answer()


def test_copies_are_found_and_left_out(athena: Athena) -> None:
    found, once = pages.queries_of("duplicates", "Athena")
    assert athena.ask(found) == answers.copies()
    assert in_utc(athena.ask(once)) == answers.each_once()


def test_bigquery_tells_that_the_producer_sent_the_copies(tables: BigQuery) -> None:
    found, once = pages.queries_of("duplicates", "BigQuery")
    assert tables.ask(found) == [(event, copies, copies, days) for event, copies, days in answers.copies()]
    assert tables.ask(once) == answers.each_once()


CUSTOMER_DAYS = "CREATE OR REPLACE TABLE player_logs.customer_days AS {query}"


def test_the_state_of_every_customer_on_every_day_is_that_of_a_loop_over_days(athena: Athena) -> None:
    whole, one_more = pages.queries_of("daily-state", "Athena")
    told = answers.customer_days()
    rows = athena.ask(whole)
    assert len(rows) == len(told)
    assert set(rows) == told
    athena.ask(CUSTOMER_DAYS.format(query=whole))
    rows = athena.ask(one_more)
    assert len(rows) == len(set(rows))
    assert set(rows) == {row for row in told if row[0] == date(2026, 11, 14)}


DIGEST = """
SELECT day, STRING_AGG(CONCAT(player_id, ' ', plan, ' ', IFNULL(country, '-')), ',' ORDER BY player_id)
FROM ({query}) GROUP BY day ORDER BY day
"""
"""Each day in one row, in which every customer stands."""


def digest(rows: set[Row]) -> list[Row]:
    days: dict[object, list[str]] = {}
    for day, *cells in sorted(rows, key=lambda row: row[:2]):
        days.setdefault(day, []).append(" ".join("-" if cell is None else str(cell) for cell in cells))
    return [(day, ",".join(lines)) for day, lines in days.items()]


def test_bigquery_tells_the_same_state_of_every_customer_on_every_day(tables: BigQuery) -> None:
    whole, one_more = pages.queries_of("daily-state", "BigQuery")
    told = digest(answers.customer_days())
    assert len(told) == 60
    assert tables.ask(DIGEST.format(query=whole)) == told
    tables.ask(CUSTOMER_DAYS.format(query=whole))
    assert tables.ask(DIGEST.format(query=one_more)) == told[-1:]
