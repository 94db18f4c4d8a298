"""Where in a shard a time or a sequence number lies, and whether a chunk of S3 begins there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consumer.operate.checkpoint.places import START, Place
from consumer.operate.checkpoint.plan import Found
from consumer.operate.chunk_boundaries import Begin, ChunkBoundaries
from consumer.operate.errors import Refused
from consumer.operate.moments import written_ms
from consumer.operate.stream import (
    HORIZON,
    Arrived,
    Shard,
    Stream,
    at_record,
    at_time,
    behind_record,
)

_CLOSE_MS = 1000
"""What is read to find the last of some records."""


class Locator:
    """Raises what Stream raises, and DeliveryError. `boundaries` are those of the application's objects, None for
    another backend; `window_ms` is the longest time between the arrivals of a chunk's records."""

    def __init__(
        self, stream: Stream, boundaries: ChunkBoundaries | None = None, *, window_ms: int = 0
    ) -> None:
        self._stream = stream
        self._boundaries = boundaries
        self._window_ms = window_ms

    def at_time(self, shard: Shard, time_ms: int, present: Place | None) -> Found | None:
        """Before the first record that arrived then or later, else behind the last one; None where a closed shard ends
        before. `present` is the checkpoint, which is kept where nothing lies behind it."""
        first = self._stream.first(shard.id, at_time(time_ms))
        if first is not None:
            return _before(first)
        if not shard.is_open:
            return None
        if (
            present is not None
            and present.sequence.isdecimal()
            and self.behind(shard, present).arrived_at is None
        ):
            return Found(present)
        last = self._last(shard, time_ms)
        return Found(START if last is None else Place.past(last))

    def behind(self, shard: Shard, place: Place) -> Found:
        """A place, with when the record behind it arrived."""
        position: Mapping[str, Any] = {"ShardIteratorType": place.sequence}
        if place.sequence.isdecimal():
            position = (at_record if place.sub < 0 else behind_record)(place.sequence)
        first = self._stream.first(shard.id, position)
        return Found(place) if first is None else Found(place, first.arrived_ms / 1000, first.sequence_number)

    def refuse_unheld(self, shard: Shard, sequence: str) -> None:
        """Raises Refused for what is no sequence number of a record of this shard."""
        if self._holds(shard, sequence) is not None:
            return
        oldest = self._stream.first(shard.id, HORIZON)
        if oldest is not None and int(sequence) < int(oldest.sequence_number):
            raise Refused(
                f"{shard.id} holds no record {sequence}: its oldest one is {oldest.sequence_number}, of"
                f" {written_ms(oldest.arrived_ms)}. --to TRIM_HORIZON goes there"
            )
        raise Refused(f"{shard.id} holds no record {sequence}: a sequence number of another shard or stream?")

    def begin_of_chunk(self, shard: Shard, found: Found) -> Found | None:
        """Where the chunk begins that holds the record behind this place, so that whoever reads from there on writes
        the same objects. None where no object tells: the record is not delivered, or its object was removed."""
        if self._boundaries is None or found.arrived_at is None or found.next is None:
            return None
        arrived_ms = round(found.arrived_at * 1000)
        oldest_ms = arrived_ms - self._window_ms
        begins = self._boundaries.last_at_or_before(
            {shard.id: Begin(int(found.next))}, newest_ms=arrived_ms, oldest_ms=oldest_ms
        )
        if shard.id not in begins:
            return None
        begin = begins[shard.id]
        held = self._holds(shard, str(begin.sequence))
        if held is None or held.arrived_ms < oldest_ms:
            return None
        place = Place.before(held.sequence_number, begin.sub_sequence)
        return Found(place, held.arrived_ms / 1000, held.sequence_number)

    def is_begin_of_chunk(self, shard: Shard, found: Found) -> bool:
        begin = self.begin_of_chunk(shard, found)
        return begin is not None and begin.place in (Place.before(str(found.next)), found.place)

    def _holds(self, shard: Shard, sequence: str) -> Arrived | None:
        """This record; None where the stream has none such, or not any more."""
        first = self._stream.first(shard.id, at_record(sequence))
        return first if first is not None and first.sequence_number == sequence else None

    def _last(self, shard: Shard, time_ms: int) -> str | None:
        """The sequence number of the last record of an open shard that has none from `time_ms` on."""
        low = self._stream.first(shard.id, HORIZON)
        if low is None:
            return None
        high_ms = time_ms
        while high_ms - low.arrived_ms > _CLOSE_MS:
            middle_ms = (high_ms + low.arrived_ms) // 2
            found = self._stream.first(shard.id, at_time(middle_ms))
            if found is None:
                high_ms = middle_ms
            else:
                low = found
        last = low.sequence_number
        for record in self._stream.records(shard.id, behind_record(last)):
            if record.arrived_ms >= time_ms:
                break  # it has come meanwhile
            last = record.sequence_number
        return last


def _before(record: Arrived) -> Found:
    return Found(Place.before(record.sequence_number), record.arrived_ms / 1000, record.sequence_number)
