"""Asks Google who we are, and whether dataset and tables are as they have to be; makes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import google.auth.exceptions

from consumer.daemon.prepare.bigquery_api import blame_proxy, token_request
from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.preparation import Unusable, fault_lines
from consumer.daemon.prepare.question import Check
from consumer.settings import Settings
from consumer.sinks.bigquery.api.identity import GoogleIdentity, describe

_AT_ONCE = 4


def bigquery_checks(settings: Settings) -> list[Check]:
    @cache
    def tables() -> BigQueryTables:
        return BigQueryTables(settings)

    return [
        Check(name="Google credentials", step=lambda: identity(GoogleIdentity.of(settings))),
        Check(name="dataset", step=lambda: check_dataset(tables(), settings)),
        Check(name="tables", step=lambda: check_tables(tables())),
    ]


def identity(wanted: GoogleIdentity) -> str:
    """Who asks BigQuery, shown by a token that Google has just given out."""
    if wanted.kind == "anonymous":
        return "anonymous, which Google itself refuses (bigquery.credentials)"
    try:
        credentials = wanted.credentials()
        credentials.refresh(token_request())
    except google.auth.exceptions.GoogleAuthError as error:
        blame_proxy(error)
        raise Unusable(f"bigquery.credentials: {' '.join(str(error).split())}") from error
    return describe(credentials)


def check_dataset(tables: BigQueryTables, settings: Settings) -> str:
    name = f"{settings.text('bigquery.project')}.{settings.text('bigquery.dataset')}"
    if tables.finds_dataset():
        return f"{name} is there"
    return f"{name} is not there yet: bin/start makes it, in {settings.text('bigquery.location')}"


def check_tables(tables: BigQueryTables) -> str:
    """One line for all tables; raises Unusable with one for each kind of fault."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as threads:
        outcomes = list(threads.map(lambda name: _look(tables, name), tables.names()))
    faults = [outcome for outcome in outcomes if isinstance(outcome, Unusable)]
    if faults:
        raise Unusable("; ".join(fault_lines(faults)))
    missing = outcomes.count(False)
    if not missing:
        return f"{len(outcomes)} take rows"
    return f"{missing} of {len(outcomes)} are not there yet: bin/start makes them"


def _look(tables: BigQueryTables, name: str) -> bool | Unusable:
    """Whether a table is there and takes rows, or what is wrong with it."""
    try:
        if not tables.finds_table(name):
            return False
        tables.probe(name)
    except Unusable as fault:
        return fault
    return True
