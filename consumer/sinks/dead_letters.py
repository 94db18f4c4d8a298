"""Dead letters as gzip NDJSON objects in S3, one object a chunk, under a deterministic key."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from isal import isal_zlib

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection, dead_letter
from consumer.domain.object_names import object_name
from consumer.domain.routing import partition_path
from consumer.sinks.aws import AWS_ERRORS, delivery_error
from consumer.sinks.json.lines import GZIP_WINDOW_BITS

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPlace:
    bucket: str
    prefix: str
    application: str
    stream: str
    shard: str


class DeadLetterSink:
    """`<prefix><application>/dt=YYYY-MM-DD/<stream>-<shard>-<first sequence>[.<sub>]-<records>.ndjson.gz`"""

    def __init__(
        self,
        place: DeadLetterPlace,
        client: Callable[[], Any],
        *,
        put_options: Mapping[str, str] | None = None,
    ) -> None:
        """`client` makes an S3 client when the first dead letter is written: most processes never need one.
        `put_options` are further arguments of PutObject (encryption)."""
        self._place = place
        self._put_options = dict(put_options or {})
        self._make_client = client
        self._client: Any = None

    def write(self, chunk: Chunk, rejections: Sequence[Rejection]) -> str:
        """Make the rejected records of the chunk durable, and return where: s3://…. Raises TransientError or
        SetupError."""
        key = self._key(chunk)
        try:
            if self._client is None:
                self._client = self._make_client()
            self._client.put_object(
                Bucket=self._place.bucket,
                Key=key,
                Body=self._body(chunk, rejections),
                ContentType="application/gzip",
                **self._put_options,
            )
        except AWS_ERRORS as error:
            raise delivery_error(error, setting="deadletter.bucket") from error
        return f"s3://{self._place.bucket}/{key}"

    def _key(self, chunk: Chunk) -> str:
        place = self._place
        day = partition_path("dt=%Y-%m-%d", chunk.since_ms)
        name = object_name(f"{place.stream}-{place.shard}", chunk.name)
        return f"{place.prefix}{place.application}/{day}{name}"

    def _body(self, chunk: Chunk, rejections: Sequence[Rejection]) -> bytes:
        place = self._place
        # letter by letter: a chunk's worth of them in base64 would be more than the chunk
        compressor = isal_zlib.compressobj(2, isal_zlib.DEFLATED, GZIP_WINDOW_BITS)
        body = bytearray()
        for rejection in sorted(rejections, key=lambda rejection: rejection.index):
            letter = dead_letter(
                chunk.records[rejection.index],
                rejection,
                application=place.application,
                stream=place.stream,
                shard=place.shard,
            )
            body += compressor.compress(_encode(letter))
            body += compressor.compress(b"\n")
        return bytes(body + compressor.flush())
