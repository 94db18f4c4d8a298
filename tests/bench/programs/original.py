"""The systems that the daemon replaces: a function that is called with a batch, and writes it by insertAll.

`python -m tests.bench.programs.original player|serial|gevent URL` speaks the KCL's protocol, for the bench's
sake. A batch of which a table took no rows has failed, which the status tells as `failed`; it is to be given again as a
whole, as Lambda does with the batches of a stream.
"""

import base64
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from gevent import monkey

_GREENLETS = 16


class BatchFailed(Exception):
    """A table took no rows; those of other tables are written."""


class _System(Protocol):
    def table(self, player: str) -> str: ...

    def insert(self, tables: Mapping[str, list[dict[str, str]]]) -> Iterable[str]:
        """Write rows by table; returns what went wrong."""
        ...


class _Serial:
    """One table after the other, of 16 that are there."""

    def __init__(self, url: str) -> None:
        from tests.bench.programs import insert_all

        self._client = insert_all.client(url)
        self._dataset = insert_all.DATASET

    def table(self, player: str) -> str:
        return f"{self._dataset}.player_log_{player[0]}"

    def insert(self, tables: Mapping[str, list[dict[str, str]]]) -> Iterable[str]:
        return [error for table, rows in tables.items() for error in self.write(table, rows)]

    def write(self, table: str, rows: list[dict[str, str]]) -> list[str]:
        """One request; returns what went wrong."""
        from google.api_core.exceptions import GoogleAPICallError

        try:
            return [str(error) for error in self._client.insert_rows_json(table, rows)]
        except GoogleAPICallError as error:
            return [str(error)]


class _TablePerPlayer(_Serial):
    """A table for each player, created when the first of their records comes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._created: set[str] = set()

    def table(self, player: str) -> str:
        return f"{self._dataset}.player_log_{player}"

    def write(self, table: str, rows: list[dict[str, str]]) -> list[str]:
        if table not in self._created:
            self._create(table)
            self._created.add(table)
        return super().write(table, rows)

    def _create(self, table: str) -> None:
        from google.cloud.bigquery import SchemaField, Table

        columns = {"player_id": "STRING", "time": "TIMESTAMP", "log": "JSON"}
        schema = [SchemaField(name, kind) for name, kind in columns.items()]
        self._client.create_table(Table(table, schema=schema))


class _Gevent(_Serial):
    """16 tables side by side in greenlets."""

    def __init__(self, url: str) -> None:
        from gevent.pool import Pool

        super().__init__(url)
        self._pool = Pool(_GREENLETS)

    def insert(self, tables: Mapping[str, list[dict[str, str]]]) -> Iterable[str]:
        written = self._pool.imap_unordered(lambda item: self.write(*item), tables.items())
        return [error for errors in written for error in errors]


_SYSTEMS = {"player": _TablePerPlayer, "serial": _Serial, "gevent": _Gevent}


def deliver(system: _System, records: list[dict[str, Any]]) -> None:
    """Raises BatchFailed."""
    from tests.bench.programs import insert_all

    tables: dict[str, list[insert_all.Row]] = defaultdict(list)
    for record in records:
        row = insert_all.row(base64.b64decode(record["data"]))
        tables[system.table(row["player_id"])].append(row)
    if errors := list(system.insert(tables)):
        raise BatchFailed(f"{len(errors)} errors, the first of them: {errors[0]}")


def main() -> None:
    name, url = sys.argv[1:]
    if name == "gevent":
        monkey.patch_all()
    system = _SYSTEMS[name](url)
    for line in sys.stdin.buffer:
        message = json.loads(line)
        status = {"action": "status", "responseFor": message["action"]}
        if message["action"] == "processRecords":
            try:
                deliver(system, message["records"])
            except BatchFailed as error:
                status["failed"] = str(error)
        print(json.dumps(status), flush=True)


if __name__ == "__main__":
    main()
