"""How many rows of a shard are in each table, and which of the records being read again they are. Pure.

The rows of one shard for one table always come in the same order, so the number of them that the table holds tells
which ones they are. What may change that order is kept beside the numbers: the rules by which records become rows
(an *era* is the time of one set of rules), and the rows that the server has refused.
"""

from collections.abc import Mapping, Sequence

import msgspec

from consumer.domain.records import Position, Record
from consumer.sinks.bigquery.arrow_rows.rules import Rules

VERSION = 2

type Counts = dict[int, dict[str, int]]
"""Rows by era and table."""


class Stream(msgspec.Struct, frozen=True):
    """A stream that rows are written to. Its offset 0 is row `base` of the era in its table."""

    name: str
    base: int


class Era(msgspec.Struct):
    """Rows written under one set of rules.

    `totals` counts by table the rows of all streams that are finalized; `streams` holds the one stream of each table
    that may take more.
    """

    number: int
    rules: Rules
    totals: dict[str, int] = {}
    streams: dict[str, Stream] = {}


class ShardState(msgspec.Struct):
    """What is kept of a shard.

    Every record up to `mark` is durable, and at `mark` the tables held `counts` rows. Without a mark, counting began
    with the record at `origin`. The last era is the present one; an earlier one stays until the mark has passed all
    of its rows. `settled` tells that no table holds a row of a record past the mark; it is taken back before the next
    row is written.

    It is kept in two parts, since DynamoDB bills every begun kilobyte that is written: the mark, the counts and
    `settled` change with every checkpoint, the eras with a stream only.
    """

    version: int = VERSION
    mark: Position | None = None
    origin: Position | None = None
    counts: Counts = {}
    eras: list[Era] = []
    settled: bool = False

    @property
    def present(self) -> Era:
        return self.eras[-1]

    def open_streams(self) -> list[str]:
        return [stream.name for era in self.eras for stream in era.streams.values()]

    def close_streams(self, row_counts: Mapping[str, int]) -> None:
        """Take the rows of finalized streams, by name, into the totals. A stream that is gone may be missing while the
        state is settled: its rows are those at the mark."""
        for era in self.eras:
            known = self.counts.get(era.number, {})
            for table, stream in era.streams.items():
                if stream.name in row_counts:
                    era.totals[table] = stream.base + row_counts[stream.name]
                else:
                    assert self.settled, "its rows are not known"
                    era.totals[table] = known.get(table, 0)
            era.streams = {}

    def begin_at(self, first: Position) -> None:
        """Count on from this record, whatever lies between it and the mark: no rows were written past that."""
        self.mark, self.origin = None, first

    def begin(self, rules: Rules) -> None:
        """Go on in the last era, or begin a new one when its rules are others."""
        if not self.eras or self.eras[-1].rules != rules:
            number = self.eras[-1].number + 1 if self.eras else 1
            self.eras.append(Era(number, rules))
        self.forget_passed_eras()
        self.forget_their_counts()

    def move_mark(self, position: Position, rows: Counts) -> None:
        """Every record up to `position` is durable; `rows` more than at the last mark are in the tables."""
        for number, tables in rows.items():
            known = self.counts.setdefault(number, {})
            for table, count in tables.items():
                known[table] = known.get(table, 0) + count
        self.mark = position

    def written_past_mark(self, era: Era) -> dict[str, int]:
        """Rows by table that records past the mark have left; once all streams are closed."""
        counts = self.counts.get(era.number, {})
        past = {table: total - counts.get(table, 0) for table, total in era.totals.items()}
        return {table: count for table, count in past.items() if count}

    def forget_passed_eras(self) -> bool:
        """Once the mark is kept; whether there were any."""
        kept = [era for era in self.eras[:-1] if era.streams or self.written_past_mark(era)]
        are_fewer = len(kept) < len(self.eras) - 1
        self.eras = [*kept, *self.eras[-1:]]
        return are_fewer

    def forget_their_counts(self) -> None:
        """Once the eras are kept: of one that is there still, without its counts, all rows would lie past the mark."""
        numbers = {era.number for era in self.eras}
        self.counts = {number: tables for number, tables in self.counts.items() if number in numbers}


class Gap(Exception):
    """Rows were written past the mark, and reading did not go on there: which records they are cannot be told."""


class Replay:
    """Finds the records that are durable already while a shard is read again.

    Give it the records in order. `left` counts down, by era and table, the rows that are in the tables and whose
    records have not come yet. `begins_at` is the record at which counting begins anew, once that is known to be so.
    """

    def __init__(self, state: ShardState, start: Position | None) -> None:
        """`start` is the checkpoint that reading goes on from; None where it goes on from no record. All streams
        of the state are closed."""
        self._mark = state.mark
        self._mark_order = None if state.mark is None else order(state.mark)
        self._origin = state.origin
        self._joined = start is not None and start == state.mark
        self._past_mark = False
        self.begins_at: Position | None = None
        self.left: Counts = {era.number: state.written_past_mark(era) for era in state.eras}

    def settled(self, records: Sequence[Record]) -> int:
        """How many of the records, from the first on, are not past the mark. Raises Gap, and changes nothing then."""
        if self._past_mark:
            return 0
        count = self._not_past_mark(records)
        joined = self._joined or count > 0
        if count == len(records):
            self._joined = joined
            return count
        if not joined:
            self._join(records[count].position)
        self._joined = self._past_mark = True
        return count

    def take(self, era: int, table: str, rows: int) -> int:
        """How many of the next `rows` rows of the era for the table are in it already."""
        left = self.left[era].get(table, 0)
        taken = min(left, rows)
        if left:
            self.left[era][table] = left - taken
        return taken

    def awaits(self, era: int) -> bool:
        """Whether records are to come that the era has written."""
        return any(self.left[era].values())

    def awaits_any(self) -> bool:
        """Whether a table holds rows of records that are to come."""
        return any(map(self.awaits, self.left))

    def _not_past_mark(self, records: Sequence[Record]) -> int:
        if self._mark_order is None:
            return 0
        for place, record in enumerate(records):
            if order(record.position) > self._mark_order:
                return place
        return len(records)

    def _join(self, first: Position) -> None:
        if self._mark is None and first == self._origin:
            return
        rows = sum(count for tables in self.left.values() for count in tables.values())
        if rows:
            known = f"past {self._mark}" if self._mark else f"from {self._origin} on"
            raise Gap(
                f"{rows} rows were written {known}, and reading goes on at {first}: which of the records to come"
                " they are cannot be told"
            )
        self.begins_at = first


def order(position: Position) -> tuple[int, int]:
    """Sequence numbers of one shard grow: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html"""
    return int(position.sequence_number), position.sub_sequence_number


class _Mark(msgspec.Struct):
    """ShardState but for its eras, which version 1 had in it."""

    version: int
    mark: Position | None = None
    origin: Position | None = None
    counts: Counts = {}
    settled: bool = False
    eras: list[Era] | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.json.Encoder().encode
_decode_mark = msgspec.json.Decoder(_Mark).decode
_decode_eras = msgspec.json.Decoder(list[Era]).decode


class UnknownState(ValueError):
    """What is kept of a shard was not written by this version."""


def encode_mark(state: ShardState) -> bytes:
    return _encode(_Mark(state.version, state.mark, state.origin, state.counts, state.settled))


def encode_eras(state: ShardState) -> bytes:
    return _encode(state.eras)


def decode_state(mark: bytes, eras: bytes | None) -> ShardState:
    """`eras` are kept beside the mark since version 2. Raises UnknownState."""
    try:
        found = _decode_mark(mark)
        if found.version not in (1, VERSION):
            raise UnknownState(f"version {found.version}, not {VERSION}")
        inside = found.eras if found.version == 1 else msgspec.UNSET
        if inside is msgspec.UNSET:
            if eras is None:
                raise UnknownState("the streams are missing")
            inside = _decode_eras(eras)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnknownState(str(error)) from error
    return ShardState(
        mark=found.mark, origin=found.origin, counts=found.counts, eras=inside, settled=found.settled
    )
