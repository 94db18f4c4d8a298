"""The extensions of DuckDB that bin/setup has put into the environment."""

import duckdb
import pytest

from consumer.local.bigquery import extensions


@pytest.mark.parametrize("name", ["ducklake", "spatial"])
def test_duckdb_finds_its_extensions_without_a_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(extensions.HOME))
    with duckdb.connect() as connection:
        connection.execute(f"LOAD {name}")
