"""BigQuery, as far as tabledata.insertAll goes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.functional.harness.http_stub import HttpStub, Reply

type Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Insert:
    table: str
    rows: list[Row]
    number: int
    skip_invalid: bool = False


def error(status: int, reason: str) -> Reply:
    content = {"error": {"code": status, "message": "as told", "errors": [{"reason": reason}]}}
    return Reply(status, json.dumps(content).encode())


def row_errors(*entries: tuple[int, str]) -> Reply:
    """HTTP 200 with insertErrors: row index and reason each."""
    errors = [
        {"index": index, "errors": [{"reason": reason, "message": "as told"}]} for index, reason in entries
    ]
    return Reply(200, json.dumps({"insertErrors": errors}).encode())


class BigQueryStub(HttpStub):
    """`tables` holds rows by table and insertId; `answer` may give a reply instead of storing the rows. Dry runs, which
    end with a row without an insertId, find all tables in order."""

    def __init__(self) -> None:
        self.dry_runs = 0
        self.tables: dict[str, dict[str, Row]] = {}
        self.answer: Callable[[Insert], Reply | None] = lambda insert: None
        super().__init__()

    def handle(self, path: str, body: bytes, number: int) -> Reply:
        content = json.loads(body)
        table = path.split("/tables/")[1].split("/")[0]
        insert = Insert(table, content["rows"], number, bool(content.get("skipInvalidRows")))
        if "insertId" not in insert.rows[-1]:
            self.dry_runs += 1
            assert not insert.skip_invalid, "rows of a dry run would be stored"
            return row_errors(
                *((index, "stopped") for index in range(len(insert.rows) - 1)),
                (len(insert.rows) - 1, "invalid"),
            )
        reply = self.answer(insert)
        return self.store(insert) if reply is None else reply

    def store(self, insert: Insert) -> Reply:
        with self.changed:
            table = self.tables.setdefault(insert.table, {})
            table.update({row["insertId"]: row["json"] for row in insert.rows})
        return Reply(200, b'{"kind":"bigquery#tableDataInsertAllResponse"}')

    @property
    def rows(self) -> list[tuple[str, str, Row]]:
        """Table, insertId and content of every row, in order."""
        return sorted(
            (table, insert_id, row) for table, rows in self.tables.items() for insert_id, row in rows.items()
        )
