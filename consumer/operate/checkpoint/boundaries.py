"""Where chunks of delivered objects begin: from there on a replay writes the same objects again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from consumer.domain.object_names import parse_object_name
from consumer.domain.routing import partition_path, time_zone
from consumer.operate.checkpoint.places import Place
from consumer.operate.checkpoint.plan import Found, Shard
from consumer.operate.checkpoint.stream import Stream
from consumer.operate.patience import Patience
from consumer.settings import Settings
from consumer.sinks.aws import AWS_ERRORS, delivery_error

_MINUTE_MS = 60_000


class Boundaries:
    """Told by the keys of the objects."""

    def __init__(self, settings: Settings, s3: Any, stream: Stream, patience: Patience) -> None:
        self._settings = settings
        self._s3 = s3
        self._stream = stream
        self._patience = patience

    def begin_of_chunk(self, shard: Shard, found: Found) -> Found | None:
        """The last one at or before the record behind this place. None where no object tells of it: the record is not
        delivered, its object was removed, or the keys are made of what stands in the records."""
        if found.arrived_at is None or found.next is None:
            return None
        settings = self._settings
        if settings.text("s3.partition_time") != "arrival" or settings["s3.key_template"] is not None:
            return None
        arrived = datetime.fromtimestamp(found.arrived_at, UTC)
        since = arrived - timedelta(seconds=settings.seconds("chunk.window"))
        earliest = self._stream.first_since(shard, since)
        until = (int(found.next), 0)
        firsts = () if earliest is None else self._firsts(shard, earliest, since, arrived)
        sequence, sub = max((first for first in firsts if first <= until), default=(None, 0))
        held = None if sequence is None else self._stream.holds(shard, str(sequence))
        if held is None:
            return None
        return Found(Place.before(str(sequence), sub), held.arrived_at, held.next)

    def is_begin_of_chunk(self, shard: Shard, found: Found) -> bool:
        begin = self.begin_of_chunk(shard, found)
        if begin is None or found.next is None:
            return False
        behind = Place.before(found.next), Place(found.place.sequence, found.place.sub)
        return begin.place in behind

    def _firsts(
        self, shard: Shard, earliest: str, since: datetime, until: datetime
    ) -> Iterator[tuple[int, int]]:
        """The first records of chunks that begin at this record or later, in the folders of these times."""
        first_ms, last_ms = (round(each.timestamp() * 1000) for each in (since, until))
        template, zone = self._settings.text("s3.partition"), time_zone(self._settings.text("s3.time_zone"))
        times = (*range(first_ms, last_ms, _MINUTE_MS), last_ms)
        for folder in sorted({partition_path(template, ms, zone) for ms in times}):
            stem = f"{self._settings.text('s3.prefix')}{folder}{self._settings.stream_name}-{shard.id}-"
            for key in self._keys(stem, f"{stem}{earliest}"):
                name = parse_object_name(key)
                if name is not None:
                    yield int(name.first.sequence_number), name.first.sub_sequence_number

    def _keys(self, prefix: str, after: str) -> Iterator[str]:
        """One page: a window holds no thousand chunks unless they are tiny, and then the first ones will do."""
        page = self._patience.keep(lambda: self._page(prefix, after))
        yield from (one["Key"] for one in page.get("Contents", ()))

    def _page(self, prefix: str, after: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._s3.list_objects_v2(
                Bucket=self._settings.text("s3.bucket"), Prefix=prefix, StartAfter=after
            )
        except AWS_ERRORS as error:
            raise delivery_error(error, setting="s3.bucket") from error
        return found
