"""Samples as lines for people, or as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from consumer.domain.records import Position
from consumer.domain.taps import Sample
from consumer.operate.payloads import Payloads, printable

_LINE = 400
"""Characters of a payload."""
_EPOCH = datetime.fromtimestamp(0, UTC)


class Showing:
    """Masks as Payloads does."""

    def __init__(self, *, mask: bool) -> None:
        self._payloads = Payloads(mask=mask)

    def lines(self, shard: str, sample: Sample) -> Iterator[str]:
        """One record."""
        position = Position(sample.sequence_number, sample.sub_sequence_number)
        yield printable(
            f"{shard} {position}  key {self._payloads.key(sample.partition_key)}, {sample.size:,} bytes,"
            f" arrived {_moment(sample.arrival_ms)}"
        )
        yield f"  {printable(self._fate(sample))}"
        yield f"  {self._payloads.line(sample.payload, _LINE)}{_cut(sample)}"

    def as_json(self, application: str, shard: str, sample: Sample) -> str:
        """`payload` may hold no more than the first `payload_bytes` of its `bytes`."""
        return json.dumps(
            {
                "application": application,
                "shard": shard,
                "sequence_number": sample.sequence_number,
                "sub_sequence_number": sample.sub_sequence_number,
                "partition_key": self._payloads.key(sample.partition_key),
                "arrived_at": _moment(sample.arrival_ms),
                "outcome": sample.outcome,
                "place": sample.place,
                "reason": sample.reason,
                "detail": self._payloads.detail(sample.detail),
                "bytes": sample.size,
                "payload_bytes": len(sample.payload),
                "payload": self._payloads.text(sample.payload),
            }
        )

    def _fate(self, sample: Sample) -> str:
        if sample.outcome == "delivered_before":
            return "read again, delivered before"
        if sample.outcome == "delivered":
            is_object = sample.place.startswith("s3://")
            return f"to {'' if is_object else 'table '}{sample.place}"
        detail = self._payloads.detail(sample.detail)
        return f"dead letter, {sample.reason}{f': {detail}' if detail else ''}; in {sample.place}"


def _cut(sample: Sample) -> str:
    shown = len(sample.payload)
    return "" if shown == sample.size else f" (of {sample.size:,} bytes the first {shown:,})"


def _moment(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds; a number where no calendar has it."""
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return str(ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
