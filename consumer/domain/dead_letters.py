"""Records that no backend can take: why, and the line that holds everything needed to deliver them again."""

import datetime
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from consumer.domain.excerpts import excerpt
from consumer.domain.records import Record

Reason = Literal[
    "not_json",  # the payload is not one JSON value in UTF-8
    "too_deep",  # JSON of more levels than the backend's limit
    "long_name",  # JSON with a member's name of more bytes than rows are made of
    "not_unicode",  # JSON with half of a surrogate pair in a text, which no column takes
    "bad_number",  # JSON with a number beyond double precision, which no column takes
    "not_an_object",  # JSON, but rows are made of objects
    "raw_newline",  # validation is off, and the payload would not stay on one line
    "too_many_values",  # more fields, or elements of repeated columns, than one row is made of
    "repeated_field",  # the field of the key or of the time is there twice
    "no_key",  # the field that chooses the table is missing or empty
    "bad_key",  # it is there, but is no text that starts with the hex digits that choose the table
    "time_out_of_range",  # the backend refuses partitions so far from the present
    "too_large",  # does not fit the backend's largest request
    "transform_failed",  # the function of `transform` raised an exception, or returned what is no record
    "rejected",  # the backend named this record; its reason is the detail
    "judged_otherwise",  # an older version of the rules has judged it otherwise: no dead letter, it holds the shard
]


DETAIL_CHARACTERS = 300
"""Of the detail of a dead letter. It quotes what a service or a parser has said, which may be as long as the record;
the record itself is in the payload."""


def detail_of(text: str) -> str:
    """As much of a text as a dead letter holds. What UTF-8 cannot hold (half a surrogate pair) stands there escaped."""
    brief = excerpt(text, DETAIL_CHARACTERS)
    if brief.isascii():
        return brief
    return excerpt(brief.encode("utf-8", "backslashreplace").decode("utf-8"), DETAIL_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record of a chunk (by its index there) that the backend cannot take. The detail is cut to what a dead letter
    holds. `outputs` are the numbers, from 1 on, of those that a transform has made of it and that it is about; none
    where it is about the whole record."""

    index: int
    reason: Reason
    detail: str
    outputs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", detail_of(self.detail))


def one_a_record(rejections: Sequence[Rejection]) -> list[Rejection]:
    """Rejections of several outputs of a record as one, with the reason of the first."""
    merged: dict[int, Rejection] = {}
    for each in rejections:
        other = merged.get(each.index)
        if other is None:
            merged[each.index] = each
        else:
            first, last = sorted((other, each), key=lambda rejection: rejection.outputs)
            merged[each.index] = replace(first, outputs=(*first.outputs, *last.outputs))
    return list(merged.values())


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a dead-letter object."""

    application: str
    stream: str
    shard: str
    sequence_number: str
    sub_sequence_number: int
    partition_key: str
    arrived_at: str
    """RFC 3339 in UTC with milliseconds."""
    reason: str
    detail: str
    payload: bytes
    """The record as it came; in base64 once it is JSON."""
    outputs: tuple[int, ...] = ()
    """As Rejection has them: the others were delivered."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "detail", detail_of(self.detail))


def dead_letter(
    record: Record, rejection: Rejection, *, application: str, stream: str, shard: str
) -> DeadLetter:
    arrived = datetime.datetime.fromtimestamp(record.arrival_ms / 1000, datetime.UTC)
    return DeadLetter(
        application=application,
        stream=stream,
        shard=shard,
        sequence_number=record.sequence_number,
        sub_sequence_number=record.sub_sequence_number,
        # half of a surrogate pair has no form in UTF-8
        partition_key=record.partition_key.encode("utf-8", "replace").decode(),
        arrived_at=arrived.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        reason=rejection.reason,
        detail=rejection.detail,
        payload=record.data,
        outputs=rejection.outputs,
    )


@dataclass(frozen=True, slots=True)
class ShareLimit:
    """At most `max_ratio` of the last `window_records` records may be dead letters; 1.0 lets everything through."""

    max_ratio: float
    window_records: int

    @property
    def least_records(self) -> int:
        """Fewer are judged as if they were so many, the rest of them good: a handful of bad records on a quiet stream
        is no verdict."""
        return max(1, self.window_records // 10)


class ShareGuard:
    """Tells a stray bad record from a broken producer or a wrong schema, from the first record on."""

    def __init__(self, limit: ShareLimit) -> None:
        self._limit = limit
        self._chunks: deque[tuple[int, int]] = deque()
        self._records = 0
        self._bad = 0

    def allows(self, records: int, bad: int) -> bool:
        """Whether a chunk with `bad` dead letters among `records` may pass; without counting it."""
        seen, seen_bad = self._records + records, self._bad + bad
        return bad == 0 or seen_bad <= self._limit.max_ratio * max(seen, self._limit.least_records)

    def count(self, records: int, bad: int) -> None:
        """A chunk has passed. Chunks older than the window are forgotten."""
        self._chunks.append((records, bad))
        self._records += records
        self._bad += bad
        while self._records - self._chunks[0][0] >= self._limit.window_records:
            old_records, old_bad = self._chunks.popleft()
            self._records -= old_records
            self._bad -= old_bad
