"""From cases to what a reader finds of a chunk of them."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from tests.contract.backends import Found
from tests.contract.cases import Case, Line, Row
from tests.contract.reading import Cells, Members, cell, missing, moment, read_json
from tests.contract.sinks import KEY_COLUMN, LOG_COLUMNS, METADATA_COLUMNS, SHARD, TAGS_COLUMN, Kind, Shard
from tests.unit.builders import chunk_of_records


@dataclass(frozen=True)
class Taken:
    """What became of a chunk's records: what a reader finds, and the reasons of the others by their index."""

    found: Sequence[Found]
    rejected: Mapping[int, str]

    def in_any_order(self) -> "Taken":
        """What stands in one place may be in another order there."""
        return Taken(sorted(self.found, key=repr), self.rejected)

    def by_place(self) -> "Taken":
        return Taken(sorted(self.found, key=lambda found: found[0]), self.rejected)


def taken(shard: Shard, rejections: Sequence[Rejection]) -> Taken:
    reasons = {rejection.index: rejection.reason for rejection in rejections}
    assert len(reasons) == len(rejections), "a record is rejected once"
    return Taken(shard.backend.found(), reasons)


def records_of(cases: Sequence[Case], first: int = 1) -> list[Record]:
    """Of one aggregate of KPL each four of them."""
    return [
        Record(case.payload, "key", str(10**20 + number // 4), number % 4, case.arrival_ms)
        for number, case in enumerate(cases, first)
    ]


def chunk_of(cases: Sequence[Case], first: int = 1) -> Chunk:
    return chunk_of_records(records_of(cases, first))


def expected(kind: Kind, cases: Sequence[Case], first: int = 1) -> Taken:
    """Each record by itself: its neighbours count for nothing."""
    found: list[Found] = []
    rejected: dict[int, str] = {}
    for index, (case, record) in enumerate(zip(cases, records_of(cases, first), strict=True)):
        match wanted_of(kind, case):
            case Line(path, text):
                found.append((path, case.payload if text is None else text))
            case Row() as row:
                found.append((f"logs_{row.digits}".removesuffix("_"), _cells(kind, case, row, record)))
            case reason:
                rejected[index] = reason
    return Taken(found, rejected)


def wanted_of(kind: Kind, case: Case) -> Line | Row | str:
    if not kind.columns:
        return case.s3
    wanted = case.fields if kind.row == "fields" and case.fields else case.bigquery
    if TAGS_COLUMN in kind.columns and case.tags:
        wanted = case.tags
    return wanted if kind.is_bigquery else _of_one_table(kind, case, wanted)


def _of_one_table(kind: Kind, case: Case, wanted: Row | str) -> Row | str:
    """The row of a record whose key chooses no table, where there is one for any key."""
    if isinstance(wanted, Row):
        return replace(wanted, digits="")
    if wanted not in ("no_key", "bad_key"):
        return wanted
    content = read_json(case.payload)
    if kind.row == "fields":
        try:
            return Row("", cast("str | None", cell(KEY_COLUMN, content.last().get(KEY_COLUMN.name))))
        except ValueError:
            return "rejected"
    key = json.loads(case.payload).get(KEY_COLUMN.name)
    return Row("", key if key is None or isinstance(key, str) else json.dumps(key, separators=(",", ":")))


def _cells(kind: Kind, case: Case, row: Row, record: Record) -> Cells:
    content = read_json(case.payload)
    own = {"log": content} if LOG_COLUMNS[2] in kind.columns else _fields(content, kind)
    cells = own | {"player_id": row.key, "time": moment(row.time)}
    if kind.has_metadata:
        number = f"{record.sequence_number}.{record.sub_sequence_number}".removesuffix(".0")
        arrived = moment("1970-01-01T00:00:00Z") + datetime.timedelta(milliseconds=record.arrival_ms)
        cells |= {"_shard": SHARD, "_sequence_number": number, "_arrived_at": arrived}
    return {column.name: cells[column.name] for column in kind.columns}


def _fields(content: Members, kind: Kind) -> dict[str, object]:
    values = content.last()
    return {
        column.name: cell(column, values.get(column.name, missing(column)))
        for column in kind.columns
        if column not in (*LOG_COLUMNS, *METADATA_COLUMNS)
    }
