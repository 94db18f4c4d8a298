"""Dead letters of an S3 application: appended to the objects that their chunks have made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from isal import isal_zlib

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.errors import SetupError
from consumer.domain.object_names import parse_object_name
from consumer.operate.bucket import ABSENT, Bucket, Changed
from consumer.operate.dead_letters.destination import Ready, SaveParcel, chunk_of
from consumer.operate.dead_letters.letters import Letter, Unreadable
from consumer.operate.dead_letters.merged_object import Addition, MergedObject
from consumer.operate.dead_letters.parcel import Entry, Parcel, Place
from consumer.operate.patience import Patience
from consumer.settings import Settings
from consumer.sinks.aws import object_options
from consumer.sinks.json.lines import GZIP_WINDOW_BITS
from consumer.sinks.s3.build import format_of, sink_of
from consumer.sinks.s3.sink import S3Sink

_AT_ONCE = 8
"""Objects that are changed side by side; each stands in memory as plain text."""


class S3Destination:
    """The bucket of the settings."""

    remembers = False  # a replay under the former settings writes the object anew

    def __init__(self, settings: Settings, client: Any, patience: Patience) -> None:
        self._settings = settings
        self._appending = _appending(settings)
        self._bucket = Bucket(
            client,
            settings.text("s3.bucket"),
            setting="s3.bucket",
            put_options={"ContentType": self._appending.content_type, **object_options(settings)},
            patience=patience,
        )
        self._sinks: dict[str, S3Sink] = {}
        self._etags: dict[str, str] = {}

    def __str__(self) -> str:
        return f"s3://{self._bucket.name}/{self._settings.text('s3.prefix')}"

    def chunk(self, letter: Letter, payload: bytes, source: str) -> Chunk:
        return chunk_of(letter, payload, chunk_name(source, letter))

    def prepare(self, letter: Letter, chunk: Chunk) -> Ready | Rejection:
        if letter.shard not in self._sinks:
            self._sinks[letter.shard] = sink_of(self._settings, letter.shard, client=None)
        prepared = self._sinks[letter.shard].prepare(chunk)
        if prepared.rejections:
            return prepared.rejections[0]
        [request] = prepared.requests
        return Ready(request.key, self._appending.line(bytes(request.body)))

    def deliver(self, parcel: Parcel, save: SaveParcel) -> Parcel:
        objects = [(key, places) for (key, _), places in parcel.open_pieces().items()]
        self._side_by_side(lambda one: self._append(one[0], parcel, one[1]), objects)
        return parcel

    def still_holds(self, entries: Sequence[Entry]) -> bool:
        keys = {piece.place for entry in entries for piece in entry.pieces}
        return all(self._side_by_side(self._is_ours, keys))

    def _is_ours(self, key: str) -> bool:
        return self._bucket.etag(key) == self._etags.get(key)

    def _append(self, key: str, parcel: Parcel, places: list[Place]) -> None:
        while True:
            stored = self._bucket.get(key)
            try:
                merged = self._appending.read(None if stored is None else stored.body)
            except Unreadable as error:
                raise SetupError(
                    f"s3://{self._bucket.name}/{key} is not what the daemon has written: {error}",
                    setting="s3.bucket",
                ) from error
            modified_ms = 0 if stored is None else round(stored.modified.timestamp() * 1000)
            older: list[Addition] = []
            newer: list[Addition] = []
            for index, number in places:
                entry = parcel.entries[index]
                (newer if modified_ms > entry.source_modified_ms else older).append(
                    self._addition(entry, number)
                )
            missing = [*merged.missing(older, is_newer=False), *merged.missing(newer, is_newer=True)]
            if not missing:
                self._etags[key] = "" if stored is None else stored.etag
                return
            body = merged.with_lines(missing).body()
            try:
                self._etags[key] = self._bucket.put(
                    key, body, match=ABSENT if stored is None else stored.etag
                )
            except Changed:
                continue
            return

    def _addition(self, entry: Entry, number: int) -> Addition:
        piece = entry.pieces[number]
        return Addition(
            entry.identity(number),
            piece.line,
            piece.as_it_came,
            self._appending.tells_records or piece.as_it_came == entry.letter.payload,
        )

    def _side_by_side[A, B](self, call: Callable[[A], B], each: Iterable[A]) -> list[B]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(call, each))


def chunk_name(source: str, letter: Letter) -> str:
    """Of the chunk that a dead-letter object was written for, from the object's key. Raises SetupError."""
    name = parse_object_name(source)
    if name is None or name.stem != f"{letter.stream}-{letter.shard}":
        raise SetupError(f"{source} is no name of an object of dead letters", setting="deadletter.prefix")
    return f"{name.first}-{name.records}"


class Merged(Protocol):
    """An object to which records can be appended."""

    def missing(self, additions: Sequence[Addition], *, is_newer: bool) -> list[Addition]: ...

    def with_lines(self, additions: Sequence[Addition]) -> Merged: ...

    def body(self) -> bytes: ...


class Appending(Protocol):
    """How records are appended to the objects of a format."""

    content_type: str
    tells_records: bool
    """Whether equal content means equal records, beside lines that are the payload as it came."""

    def line(self, body: bytes) -> bytes:
        """Of an object of one record: what an addition holds of it."""

    def read(self, body: bytes | None) -> Merged:
        """None for an object that is not there. Raises Unreadable."""


class ToLines:
    """Gzip."""

    content_type = "application/gzip"
    tells_records = False

    def __init__(self, level: int) -> None:
        self._level = level

    def line(self, body: bytes) -> bytes:
        return isal_zlib.decompress(body, GZIP_WINDOW_BITS).removesuffix(b"\n")

    def read(self, body: bytes | None) -> Merged:
        return MergedObject(level=self._level) if body is None else MergedObject.read(body, level=self._level)


class ToRows:
    """Parquet: an addition is an object of one row."""

    def __init__(self, settings: Settings) -> None:
        self._made: Any = format_of(settings, "")
        self.content_type: str = self._made.content_type
        self.tells_records = settings["s3.schema_file"] is None  # the column log is the record

    def line(self, body: bytes) -> bytes:
        return body

    def read(self, body: bytes | None) -> Merged:
        from consumer.operate.dead_letters.merged_rows import MergedRows

        return MergedRows(self._made) if body is None else MergedRows.read(self._made, body)


def _appending(settings: Settings) -> Appending:
    form = settings.text("s3.format")
    if form == "parquet":
        return ToRows(settings)
    if form != "ndjson.gz":
        raise SetupError(
            "dead letters are appended to objects of ndjson.gz and of parquet: --set s3.format=ndjson.gz puts them into"
            " such objects, beside those of another format, or with --set s3.prefix=… elsewhere",
            setting="s3.format",
        )
    return ToLines(settings.integer("s3.compression_level"))
