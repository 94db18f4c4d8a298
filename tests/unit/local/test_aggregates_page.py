"""docs/aggregates.md: which rows lie outside of their shard and have a twin where they belong."""

import hashlib
import io
import re
import subprocess
import sys

import duckdb
import sqlglot

from consumer.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "aggregates.md").read_text(encoding="utf-8")
SHARDS = ("shardId-000000000001", "shardId-000000000002")


def home_of(key: str) -> int:
    """The shard of a key: the hash keys are halved."""
    return int(hashlib.md5(key.encode()).hexdigest(), 16) >> 127


def test_the_query_finds_the_doubled_rows_alone() -> None:
    [query] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    [statement] = sqlglot.transpile(
        query.replace("`project.dataset.player_log`", "player_log"), read="bigquery", write="duckdb"
    )
    rows: list[tuple[str, str, str, str]] = []
    doubled: list[tuple[str, str, str]] = []
    for number in range(40):
        key, log = f"player-{number}", f'{{"player_id":"player-{number}","n":1}}'
        home, other = SHARDS[home_of(key)], SHARDS[1 - home_of(key)]
        match number % 4:
            case 0:  # put twice by the KPL
                rows += [(key, log, other, f"{number:03}.1"), (key, log, home, f"{number:03}.2")]
                doubled.append((key, other, f"{number:03}.1"))
            case 1:  # of a mixed aggregate
                rows.append((key, log, other, f"{number:03}"))
            case 2:  # the same log twice
                rows += [(key, log, home, f"{number:03}.1"), (key, log, home, f"{number:03}.2")]
            case 3:  # another log of the same key
                rows += [
                    (key, log, other, f"{number:03}.1"),
                    (key, log.replace("1}", "2}"), home, f"{number:03}.2"),
                ]
    with duckdb.connect() as engine:
        engine.execute(
            "CREATE TABLE player_log(player_id VARCHAR, log JSON, _shard VARCHAR, _sequence_number VARCHAR)"
        )
        engine.executemany("INSERT INTO player_log VALUES (?, ?, ?, ?)", rows)
        assert engine.execute(statement).fetchall() == doubled


def test_the_ranges_are_printed_as_the_query_has_them() -> None:
    [code] = re.findall(r"python3 -c '\n(.*?)'\n```", PAGE, re.DOTALL)
    listed = f"{SHARDS[0]}\t0\t{2**127 - 1}\n{SHARDS[1]}\t{2**127}\t{2**128 - 1}\n"
    done = subprocess.run(
        [sys.executable, "-c", code], input=listed, capture_output=True, text=True, check=True
    )
    lines = [line.strip() for line in io.StringIO(done.stdout)]
    assert lines[1] in PAGE
    assert lines[0] == re.sub(r" AS \w+", "", re.findall(rf"SELECT '{SHARDS[0]}'.*", PAGE)[0])
