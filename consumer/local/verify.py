"""Compares what was put with what the backends hold, as multisets of whole records.

Nothing here asks the daemon or uses its code for routing: a record is one of those put if it is equal as
JSON, or byte for byte where it is not JSON. Identical records are told apart by their number only.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_EXAMPLES = 5
_EXAMPLE_BYTES = 120
_JSON = b"json "
_RAW = b"raw "
_TIME_TOLERANCE = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a BigQuery table; `log` is the text of its JSON column."""

    table: str
    time: datetime
    log: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter as found: the record's bytes and why it was not delivered."""

    payload: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where rows belong: table by the key's leading hex digits, time from the record or within the run."""

    table_prefix: str
    key_digits: int
    key_field: str
    time_field: str
    parse_time: Callable[[object], datetime | None]
    run_start: datetime
    run_end: datetime

    def fault(self, row: Row) -> str | None:
        """What is wrong with the place of a row, or None. Its log must be JSON."""
        log = msgspec.json.decode(row.log)
        key = log.get(self.key_field) if isinstance(log, dict) else None
        if not isinstance(key, str) and self.key_digits:
            return f"in table {row.table}, but it has no key"
        table = "_".join(filter(None, (self.table_prefix, str(key)[: self.key_digits].lower())))
        if row.table != table:
            return f"in table {row.table}, belongs in {table}"
        if (own := self.parse_time(log.get(self.time_field))) is not None:
            wrong = abs(row.time - own) > _TIME_TOLERANCE or row.time.date() != own.astimezone(UTC).date()
            return f"time {row.time.isoformat()}, its own is {own.isoformat()}" if wrong else None
        if not self.run_start <= row.time <= self.run_end:
            return f"time {row.time.isoformat()} outside of the run, and it has none of its own"
        return None


@dataclass(slots=True, kw_only=True)
class Result:
    """How a backend compares with what was put.

    `delivered` and `dead_letters` count records of the input, the latter by reason in `reasons`; `waiting` those that
    are still on the stream behind the checkpoint; `lost` those found nowhere; `duplicated` further copies; `unexpected`
    what is no record of the input, or a dead letter without a reason; `misplaced` rows in the wrong table or with the
    wrong time.
    """

    delivered: int = 0
    dead_letters: int = 0
    waiting: int = 0
    lost: int = 0
    duplicated: int = 0
    unexpected: int = 0
    misplaced: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Every record exactly once, in its place or among the dead letters."""
        return not (self.waiting or self.lost or self.duplicated or self.unexpected or self.misplaced)

    def note(self, kind: str, record: bytes, detail: str = "") -> None:
        """Keep the first few findings for the report."""
        if len(self.examples) < _EXAMPLES:
            text = record[:_EXAMPLE_BYTES].decode(errors="replace")
            self.examples.append(f"{kind}: {text}" + (f" ({detail})" if detail else ""))


class Canonical:
    """One form for all JSON texts of equal value; bytes that are not JSON stand for themselves."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def __call__(self, record: bytes) -> bytes:
        """Remembers what it has seen, since most records come back as the very bytes that were put."""
        form = self._known.get(record)
        if form is None:
            form = self._known[record] = canonical(record)
        return form


def canonical(record: bytes) -> bytes:
    """The form that all JSON texts of equal value share; see Canonical."""
    try:
        value = msgspec.json.decode(record)
        return _JSON + msgspec.json.encode(_plain(value))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _RAW + record


def _shown(form: bytes) -> bytes:
    return form.removeprefix(_JSON).removeprefix(_RAW)


def _plain(value: Any) -> Any:
    """JSON has one kind of number, 1.0 is 1, and its members have no order.

    They are sorted here: msgspec (order="sorted") takes a level of the stack for each of many that come in order.
    """
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


class Verifier:
    """Knows what was put; compares backends with it."""

    def __init__(self, records: Iterable[bytes]) -> None:
        self._canonical = Canonical()
        self._put = Counter(map(self._canonical, records))

    def s3(
        self, lines: Iterable[bytes], dead_letters: Iterable[DeadLetter], unread: Iterable[bytes] = ()
    ) -> Result:
        """Compare the lines of all objects, and the dead letters, with what was put. `unread` are records that the
        backend's next start reads."""
        result = Result()
        self._compare(Counter(map(self._canonical, lines)), dead_letters, unread, result)
        return result

    def bigquery(
        self,
        rows: Iterable[Row],
        dead_letters: Iterable[DeadLetter],
        placement: Placement,
        unread: Iterable[bytes] = (),
    ) -> Result:
        """Compare all rows of all tables, and the dead letters, with what was put; `unread` as for S3."""
        result = Result()
        found: Counter[bytes] = Counter()
        for row in rows:
            record = self._canonical(row.log)
            found[record] += 1
            if record in self._put and (fault := placement.fault(row)):
                result.misplaced += 1
                result.note("misplaced", row.log, fault)
        self._compare(found, dead_letters, unread, result)
        return result

    def _compare(
        self,
        found: Counter[bytes],
        dead_letters: Iterable[DeadLetter],
        unread: Iterable[bytes],
        result: Result,
    ) -> None:
        dead: Counter[bytes] = Counter()
        for letter in dead_letters:
            if letter.reason:
                dead[self._canonical(letter.payload)] += 1
                result.reasons[letter.reason] += 1
            else:
                result.unexpected += 1
                result.note("dead letter without a reason", letter.payload)
        self._count(found, dead, Counter(map(self._canonical, unread)), result)
        for record in (found + dead).keys() - self._put.keys():
            result.unexpected += found[record] + dead[record]
            result.note("never put", _shown(record))

    def _count(
        self,
        found: Mapping[bytes, int],
        dead: Mapping[bytes, int],
        unread: Mapping[bytes, int],
        result: Result,
    ) -> None:
        for record, put in self._put.items():
            delivered = min(put, found.get(record, 0))
            aside = min(put - delivered, dead.get(record, 0))
            surplus = found.get(record, 0) + dead.get(record, 0) - delivered - aside
            result.delivered += delivered
            result.dead_letters += aside
            waiting = min(put - delivered - aside, unread.get(record, 0))
            lost = put - delivered - aside - waiting
            result.waiting += waiting
            result.lost += lost
            result.duplicated += surplus
            if surplus:
                result.note("duplicated", _shown(record))
            if lost:
                result.note("lost", _shown(record))
