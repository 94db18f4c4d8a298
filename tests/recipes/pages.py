"""What stands in docs/recipes: the tests run it from there, so that a page is what was run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import exp

from consumer.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "docs/recipes"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Query:
    """A block of SQL; `of` is what its first line says, as `Athena`, `BigQuery: log`."""

    page: str
    of: str
    sql: str

    @property
    def engine(self) -> str:
        return self.of.partition(":")[0]

    @property
    def dialect(self) -> str:
        return self.engine.lower()

    def in_duckdb(self) -> str:
        return self.sql if self.engine == "DuckDB" else transpiled(self.sql)


def pages() -> list[Path]:
    return sorted(FOLDER.glob("*.md"))


def blocks(page: str, language: str) -> list[str]:
    text = (FOLDER / f"{page}.md").read_text()
    return [body for named, body in _BLOCK.findall(text) if named == language]


def queries(page: str) -> list[Query]:
    found = []
    for block in blocks(page, "sql"):
        first, _, sql = block.partition("\n")
        found.append(Query(page, first.removeprefix("-- "), sql.strip()))
    return found


def queries_of(page: str, of: str) -> list[str]:
    return [query.sql for query in queries(page) if query.of == of]


def parsed(sql: str, dialect: str) -> exp.Expression:
    """Raises sqlglot.errors.ParseError where the dialect has no such statement."""
    [statement] = sqlglot.parse(sql, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    assert isinstance(statement, exp.Expression)
    return statement


def transpiled(sql: str) -> str:
    """Athena's as DuckDB spells it. Raises sqlglot.errors.UnsupportedError where it has no word for something."""
    return parsed(sql, "athena").sql("duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)


def every_query() -> Sequence[Query]:
    return [query for page in pages() for query in queries(page.stem)]
