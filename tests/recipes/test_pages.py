"""docs/recipes: each query is one of its dialect, and everything that stands there is run by a test."""

import re

import pytest
from sqlglot import exp

from tests.recipes import pages
from tests.recipes.pages import Query

QUERIES = pages.every_query()
RUN = {"Athena", "Athena: log", "Athena: columns", "BigQuery", "BigQuery: log", "BigQuery: columns"}
SHOWN = {"DuckDB: lines", "DuckDB: Parquet"}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{query.page} {query.of}")
def test_a_query_is_one_of_its_dialect_with_functions_that_the_dialect_has(query: Query) -> None:
    assert query.of in RUN | SHOWN
    found = pages.parsed(query.sql, query.dialect)
    assert not isinstance(found, exp.Command)
    if query.engine != "DuckDB":  # whose functions for files are not those of the language
        assert [function.name for function in found.find_all(exp.Anonymous)] == []
    again = found.sql(query.dialect)
    assert pages.parsed(again, query.dialect).sql(query.dialect) == again


def test_a_page_asks_both_backends_the_same_questions() -> None:
    asked = {page.stem: [query.of for query in pages.queries(page.stem)] for page in pages.pages()}
    assert {page: of for page, of in asked.items() if of.count("Athena") != of.count("BigQuery")} == {}


def test_the_first_page_leads_to_all_others_and_links_lead_somewhere() -> None:
    linked = set()
    for page in pages.pages():
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
            if page.name == "README.md":
                linked.add(link)
    assert linked == {page.name for page in pages.pages()} - {"README.md"}
