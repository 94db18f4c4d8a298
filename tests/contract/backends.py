"""Backends in memory: what they hold is what a reader would find, and they fail as they are told to."""

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from botocore.exceptions import ReadTimeoutError

from consumer.domain.errors import TransientError
from consumer.settings.schema import Column
from consumer.sinks.bigquery.arrow_rows.arrow import Batch
from consumer.sinks.bigquery.storage_write.answers import CallFailed, RowFault, StorageCode
from consumer.sinks.http.connection import Answer
from tests.contract.reading import Cells, read_arrow, read_json, read_lines, read_parquet, read_row, with_json
from tests.unit.sinks.bigquery.load.fake_google import FakeGoogle, error
from tests.unit.sinks.bigquery.storage_write.fakes import PENDING, FakeBigQuery
from tests.unit.sinks.fake_s3 import FakeS3

type Found = tuple[str, bytes | Cells]
"""A line and the path of its object, or a row and its table."""


@dataclass
class Faults:
    """What is wrong with a backend."""

    down: int = 0
    """So many of the next requests are answered with an outage."""
    lost: int = 0
    """Of so many of those that are stored next, the answer is lost."""
    interrupted: int = 0
    """So many of the next requests to BigQuery end, in whole or in part, for a reason that passes."""
    bad_keys: frozenset[str] = frozenset()
    """Rows that the backend refuses and names."""
    poison_keys: frozenset[str] = frozenset()
    """Rows for which it refuses a request as a whole, without naming them."""
    closed: int = 0
    """So many of the next requests are refused for the table's sake, whatever their rows."""
    closed_as: Literal["rows", "request"] = "rows"
    """Row by row, as for a column that is gone, or as a whole, as for a key that is disabled."""
    most_rows: int = 1_000_000
    """A request with more is too large."""

    def is_down(self) -> bool:
        self.down -= 1
        return self.down >= 0

    def is_closed(self) -> str:
        self.closed -= 1
        return self.closed_as if self.closed >= 0 else ""

    def interrupts(self) -> bool:
        self.interrupted -= 1
        return self.interrupted >= 0

    def loses_the_answer(self) -> bool:
        self.lost -= 1
        return self.lost >= 0

    def refuses(self, rows: Sequence[Cells]) -> bool:
        return len(rows) > self.most_rows or any(row[KEY] in self.poison_keys for row in rows)

    def is_bad(self, row: Cells) -> bool:
        return row[KEY] in self.bad_keys


KEY = "player_id"


class Backend(Protocol):
    """What a sink writes to."""

    faults: Faults

    def found(self) -> list[Found]:
        """By place, in the order of the rows there."""

    def identities(self) -> list[object]:
        """By what each request that was ever made names itself or its rows."""


class Bucket(FakeS3):
    """S3."""

    def __init__(self, prefix: str, columns: Sequence[Column] = ()) -> None:
        """With columns it holds Parquet."""
        super().__init__()
        self._prefix = prefix
        self._columns = columns
        self.faults = Faults()

    def put_object(self, **arguments: Any) -> dict[str, Any]:
        if self.faults.is_down():
            raise ReadTimeoutError(endpoint_url="https://s3")
        answer = super().put_object(**arguments)
        if self.faults.loses_the_answer():
            raise ReadTimeoutError(endpoint_url="https://s3")
        return answer

    def found(self) -> list[Found]:
        objects = sorted({put["Key"]: put["Body"] for put in self.puts}.items())
        if self._columns:
            return [
                ("logs", with_json(row, self._columns)) for _, body in objects for row in read_parquet(body)
            ]
        return [
            (key.removeprefix(self._prefix).rpartition("/")[0], line)
            for key, body in objects
            for line in read_lines(body, zstandard=key.endswith(".zst"))
        ]

    def identities(self) -> list[object]:
        return [(put["Key"], bytes(put["Body"])) for put in self.puts]


@dataclass
class Inserts:
    """insertAll, which knows a row by its insertId."""

    columns: Sequence[Column]
    faults: Faults = field(default_factory=Faults)
    rows: dict[tuple[str, str], Cells] = field(default_factory=dict)
    ids: list[object] = field(default_factory=list)

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        if self.faults.is_down():
            return 503, b""
        table = path.split("/")[-2]
        request = read_json(bytes(body)).last()
        closed = self.faults.is_closed()
        if closed == "request":
            return 400, error(400, "invalid").body
        if not request["skipinvalidrows"]:
            return dry_run(request, self.columns, self.faults, closed=closed == "rows")
        read = partial(
            read_row, columns=self.columns, json_as_text=True, ignores_unknown=request["ignoreunknownvalues"]
        )
        rows = [row.last() for row in request["rows"]]
        cells, bad = _read_all([row["json"] for row in rows], read)
        if closed == "rows":
            return 200, _insert_errors(range(len(rows)))
        if len(rows) > self.faults.most_rows:
            return 413, b"<html>"
        if self.faults.refuses(list(cells.values())):
            return 400, error(400, "invalid").body
        bad += [place for place, row in cells.items() if self.faults.is_bad(row)]
        late = [*cells][::2] if self.faults.interrupts() else []
        for place, row in cells.items():
            if place not in bad and place not in late:
                key = table, rows[place]["insertid"]
                self.ids.append(key)
                assert self.rows.setdefault(key, row) == row, "another row of the same insertId"
        if self.faults.loses_the_answer():
            raise TransientError("no answer")
        return 200, _insert_errors(bad, late)

    def found(self) -> list[Found]:
        return [(table, row) for (table, _), row in self.rows.items()]

    def identities(self) -> list[object]:
        return [*self.ids]


class Jobs(FakeGoogle):
    """Load jobs, and an insertAll that stores nothing."""

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self.columns = columns
        self.faults = Faults()
        self.rows: list[Found] = []
        self.begun: list[object] = []

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> Answer:
        if self.faults.is_down():
            return error(503, "backendError")
        answer = super().request(method, path, body, content_type)
        if method == "POST" and answer.status == 200 and self.faults.loses_the_answer():
            raise TransientError("no answer")
        return answer

    def post(self, path: str, body: bytes | bytearray) -> tuple[int, bytes]:
        request = read_json(bytes(body)).last()
        assert request["skipinvalidrows"] is False, "rows would be stored"
        closed = self.faults.is_closed()
        if closed == "request":
            return 400, error(400, "invalid").body
        return dry_run(request, self.columns, self.faults, closed=closed == "rows")

    def _begin(self, job: dict[str, Any], content: bytes) -> Answer:
        job_id = job["jobReference"]["jobId"]
        self.begun.append((job_id, gzip.decompress(content)))
        if job_id in self.jobs:
            return error(409, "duplicate")
        load = job["configuration"]["load"]
        lines = read_lines(content)
        if len(lines) > self.faults.most_rows:
            return error(413, "uploadTooLarge")
        read = partial(
            read_row, columns=self.columns, json_as_text=False, ignores_unknown=load["ignoreUnknownValues"]
        )
        cells, bad = _read_all([read_json(line) for line in lines], read)
        rows = list(cells.values())
        is_bad = (
            bool(bad)
            or bool(self.faults.is_closed())
            or self.faults.refuses(rows)
            or any(map(self.faults.is_bad, rows))
        )
        reason = "backendError" if self.faults.interrupts() else "invalid" if is_bad else None
        if reason is None:
            self.rows += [(load["destinationTable"]["tableId"], row) for row in rows]
        self.jobs[job_id] = {"polls": 0, "error": reason}
        return self._shown(job_id)

    def found(self) -> list[Found]:
        return [*self.rows]

    def identities(self) -> list[object]:
        return [*self.begun]


class Streams(FakeBigQuery):
    """The Storage Write API: the rows of its streams are places in `cells`."""

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self.columns = columns
        self.faults = Faults()
        self.cells: list[Cells] = []

    def append(self, stream: str, offset: int, schema: bytes, batch: Batch) -> None:
        if self.faults.is_down():
            raise CallFailed(code="UNAVAILABLE", message="down")
        rows = [with_json(row, self.columns) for row in read_arrow(schema, batch.serialize_after(b""))]
        closed = self.faults.is_closed()
        if closed:
            faults = tuple(RowFault(place, "no") for place in range(len(rows))) if closed == "rows" else ()
            raise CallFailed(code="INVALID_ARGUMENT", message="no", rows=faults)
        if stream.startswith(PENDING):
            return
        if self.faults.refuses(rows):
            raise CallFailed(code="INVALID_ARGUMENT", message="no")
        if self.faults.interrupts():
            gone = StorageCode.STREAM_NOT_FOUND
            raise CallFailed(code="NOT_FOUND", message="the stream is gone", storage_code=gone)
        places = [*range(len(self.cells), len(self.cells) + len(rows))]
        self.cells += rows
        self.schema = schema
        self.numbers_in = lambda _: places
        self.refused = frozenset(place for place in places if self.faults.is_bad(self.cells[place]))
        super().append(stream, offset, schema, batch)
        if self.faults.loses_the_answer():
            raise CallFailed(code="UNAVAILABLE", message="no answer")

    def found(self) -> list[Found]:
        return [(stream.table, self.cells[row]) for stream in self.streams.values() for row in stream.rows]

    def identities(self) -> list[object]:
        return []


def dry_run(
    request: dict[str, Any], columns: Sequence[Column], faults: Faults, *, closed: bool
) -> tuple[int, bytes]:
    """insertAll with a row that is certainly invalid, so that none is stored."""
    read = partial(
        read_row, columns=columns, json_as_text=True, ignores_unknown=request["ignoreunknownvalues"]
    )
    rows = [row.last()["json"] for row in request["rows"]]
    cells, bad = _read_all(rows, read)
    assert len(rows) - 1 in bad, "without a row that is certainly invalid, all others would be stored"
    bad += [place for place, row in cells.items() if closed or faults.is_bad(row)]
    return 200, _insert_errors(bad)


def _read_all(rows: Sequence[Any], read: Callable[[Any], Cells]) -> tuple[dict[int, Cells], list[int]]:
    """Rows by their places, and the places of those that do not fit."""
    cells: dict[int, Cells] = {}
    bad: list[int] = []
    for place, row in enumerate(rows):
        try:
            cells[place] = read(row)
        except ValueError:
            bad.append(place)
    return cells, bad


def _insert_errors(bad: Sequence[int], late: Sequence[int] = ()) -> bytes:
    reasons = [(place, "invalid") for place in bad] + [(place, "backendError") for place in late]
    errors = [{"index": place, "errors": [{"reason": reason}]} for place, reason in reasons]
    return json.dumps({"insertErrors": errors}).encode()
