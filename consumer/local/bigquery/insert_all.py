"""local-bigquery's insertAll, corrected where a client that repeats requests would lose rows.

As it comes, an insertId counts as seen before its row is stored, so the repeat of a failed insert is
swallowed; any failure of the engine makes rows `invalid`, so a client drops good ones; times with more
decimals than Google takes are cut off; and every request
walks all ids seen in the last minute, and the whole catalogue. Here ids count once their rows are stored,
only failures of the data make rows invalid, and ids expire from the front of a queue. Inserts into one
table take turns, so that a repeat that overtakes its original finds it done; and so do the engine's commits,
which undo one another's work where they meet.
"""

import functools
import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import duckdb
from local_bigquery import errors
from local_bigquery.catalog import tabledata, tables
from local_bigquery.engine import database
from local_bigquery.engine.database import quote
from local_bigquery.models import TableFieldSchema

#: How long Google remembers an insertId, at best.
#: https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#dataconsistency
DEDUPLICATION_SECONDS = 60.0

_commits = threading.Lock()

type Row = tuple[int, str | None, dict[str, Any]]  # index in the request, insertId, columns

DATA_ERRORS = (
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.InvalidInputException,
)


class Seen[K: Hashable]:
    """Keys remembered for a while. Not thread-safe: its owner locks."""

    def __init__(self, window_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window_seconds
        self._clock = clock
        self._added: OrderedDict[K, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._added)

    def __contains__(self, key: K) -> bool:
        added = self._added.get(key)
        return added is not None and self._clock() - added <= self._window

    def add(self, keys: Iterable[K]) -> None:
        """Remember keys from now on; a key known already starts anew."""
        now = self._clock()
        for key in keys:
            self._added[key] = now
            self._added.move_to_end(key)
        while self._added and now - next(iter(self._added.values())) > self._window:
            self._added.popitem(last=False)


class Twice:
    """Rows that were stored again because their insertId was forgotten. Times are monotonic seconds, those of all
    processes of the machine. Each Inserts has one, which its requests write to under the lock of their table."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.rows: list[dict[str, Any]] = []
        self._clock = clock
        self._stored: dict[tuple[str, str], float] = {}

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Rows that were stored now."""
        now = self._clock()
        for _, row_id, columns in rows:
            if row_id is None:
                continue
            first = self._stored.get((table, row_id))
            if first is not None:
                self.rows.append({"table": table, "first": first, "again": now, "row": columns})
            self._stored[table, row_id] = now


class Inserts:
    """Stores the valid rows of insertAll requests, each insertId once within the window. `twice` notes those that are
    stored again after it."""

    def __init__(
        self,
        store: Callable[[str, Any, list[Row]], list[dict[str, Any]]],
        window_seconds: float,
        twice: Twice | None = None,
    ) -> None:
        self._store = store
        self._window = window_seconds
        self._twice = twice
        self._tables: dict[str, tuple[threading.Lock, Seen[str]]] = {}
        self._tables_lock = threading.Lock()

    def insert(self, table: str, schema: Any, rows: list[Row]) -> list[dict[str, Any]]:
        """Store the rows not seen yet; returns the errors of those that could not be stored.

        Blocks while another request writes to the table. Raises what the engine raises; then no id of
        the request counts as seen.
        """
        lock, seen = self._table(table)
        with lock:
            fresh = _first_of_each(rows, seen)
            failures = self._store(table, schema, fresh) if fresh else []
            failed = {failure["index"] for failure in failures}
            stored = [row for row in fresh if row[0] not in failed]
            seen.add(row_id for _, row_id, _ in stored if row_id is not None)
            if self._twice is not None:
                self._twice.add(table, stored)
        return failures

    def _table(self, table: str) -> tuple[threading.Lock, Seen[str]]:
        with self._tables_lock:
            if table not in self._tables:
                self._tables[table] = threading.Lock(), Seen(self._window)
            return self._tables[table]


def _first_of_each(rows: list[Row], seen: Seen[str]) -> list[Row]:
    taken: set[str] = set()
    fresh = []
    for row in rows:
        row_id = row[1]
        if row_id is not None:
            if row_id in taken or row_id in seen:
                continue
            taken.add(row_id)
        fresh.append(row)
    return fresh


def store(table: str, schema: Any, rows: list[Row]) -> list[dict[str, Any]]:
    """Insert rows in one statement, or one by one where the data of one of them will not go in."""
    try:
        execute(table, schema, [columns for _, _, columns in rows])
    except DATA_ERRORS as error:
        if len(rows) == 1:
            return [{"index": rows[0][0], "errors": [{"reason": "invalid", "message": str(error)}]}]
        return [failure for row in rows for failure in store(table, schema, [row])]
    return []


def _engine_failures_are_transient[**P, R](call: Callable[P, R]) -> Callable[P, R]:
    """Answer 503 backendError, which clients repeat, where the engine and not the request is at fault."""

    @functools.wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException) as error:
            raise errors.BigQueryError("backendError", str(error)) from error

    return wrapped


def execute(table: str, schema: Any, rows: list[dict[str, Any]], cursor: Any = None) -> None:
    """Insert rows in one statement, on a cursor of its own unless one is given. Raises what the engine raises."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return
    columns = [(quote(name), schema[name.casefold()][1]) for name in names]
    fields = ", ".join(f"{column} {tabledata._spec_type(kind)}" for column, kind in columns)
    statement = (
        f"INSERT INTO {table} ({', '.join(column for column, _ in columns)}) "
        f"SELECT {', '.join(tabledata._select(column, kind) for column, kind in columns)} "
        "FROM (SELECT unnest(from_json($payload, $spec)) AS r)"
    )
    values = {"payload": json.dumps(rows), "spec": json.dumps([f"STRUCT({fields})"])}
    if cursor is not None:
        cursor.execute(statement, values)
        return
    with _commits, database.cursor() as own:
        own.execute(statement, values)


def _refuse_missing_table(project: str, dataset: str, table: str) -> None:
    """What insertAll needs of `load`, which walks the whole catalogue."""
    try:
        columns(project, dataset, table)
    except errors.BigQueryError:
        tables.load(project, dataset, table)


def columns(project: str, dataset: str, table: str) -> list[TableFieldSchema]:
    """The columns of a table, which change with the version of its project's schema and cost a walk of the catalogue.

    Raises BigQueryError where there is no such table.
    """
    with database.cursor() as cursor:
        catalogue = quote(f"__ducklake_metadata_{project}")
        [version] = cursor.execute(
            f"SELECT max(schema_version) FROM {catalogue}.ducklake_snapshot"
        ).fetchone() or [0]
    return _columns(project, dataset, table, version)


@functools.lru_cache(maxsize=1024)
def _columns(project: str, dataset: str, table: str, version: int) -> list[TableFieldSchema]:
    found: list[TableFieldSchema] = tables.columns(project, dataset, table)
    return found


_TOO_PRECISE = re.compile(r".*:[0-9]{2}\.[0-9]{7,}", re.ASCII).match


def is_too_precise(value: object) -> bool:
    """Whether Google refuses a time for its decimals: it takes microseconds."""
    return isinstance(value, str) and _TOO_PRECISE(value) is not None


_TIMES = ("TIMESTAMP", "TIME")
"""How the engine's types of times begin."""


def _unconvertible(
    original: Callable[[Any, Any], list[list[str]]], schema: Any, rows: Any
) -> list[list[str]]:
    """The columns of each row whose values do not fit."""
    times = {column for column, kind in schema.values() if str(kind).startswith(_TIMES)}
    return [
        [*columns, *(name for name in times.difference(columns) if is_too_precise(row.get(name)))]
        for columns, row in zip(original(schema, rows), rows, strict=True)
    ]


def install(window_seconds: float = DEDUPLICATION_SECONDS, twice: Twice | None = None) -> None:
    """Make local-bigquery's insertAll use `Inserts`."""
    inserts = Inserts(store, window_seconds, twice)
    tabledata._deduplicate = lambda table, rows: rows
    tabledata._insert = inserts.insert
    tabledata._unconvertible = functools.partial(_unconvertible, tabledata._unconvertible)
    tabledata.load = _refuse_missing_table
    tabledata.columns = columns
    tabledata.insert_all = _engine_failures_are_transient(tabledata.insert_all)
    errors.STATUSES["backendError"] = (503, "UNAVAILABLE")
