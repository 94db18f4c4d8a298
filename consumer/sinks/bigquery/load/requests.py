"""Load jobs: rows of a chunk for one table, under an id that tells which rows they are."""

import hashlib
from array import array
from dataclasses import dataclass, field, replace

import msgspec
from isal import isal_zlib

from consumer.domain.chunks import Chunk
from consumer.domain.columns import PART_RECORDS
from consumer.sinks.json.lines import GZIP_WINDOW_BITS, join_lines

_encode = msgspec.json.Encoder().encode
_BOUNDARY = "rows-of-a-load-job"


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """Lines for one table; `indices` are those of their records in the chunk.

    `attempt` counts the jobs that have failed for a reason that passes: a job's id can be used once.
    """

    table: str
    chunk: Chunk = field(repr=False)
    indices: tuple[int, ...]
    lines: tuple[bytes, ...] = field(repr=False)
    attempt: int = 0

    def keep(self, places: list[int]) -> "LoadRequest":
        """The rows at these places, as a request of their own."""
        return replace(
            self,
            indices=tuple([self.indices[place] for place in places]),
            lines=tuple([self.lines[place] for place in places]),
            attempt=0,
        )

    def next_attempt(self) -> "LoadRequest":
        return replace(self, attempt=self.attempt + 1)

    def content(self) -> bytes:
        """The file: gzip, one row a line; never all of it as plain text, which takes several times as much memory."""
        compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, GZIP_WINDOW_BITS)
        content = bytearray()
        for begin in range(0, len(self.lines), PART_RECORDS):
            content += compressor.compress(join_lines(self.lines[begin : begin + PART_RECORDS]))
        content += compressor.flush()
        return bytes(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where jobs run and rows go. `prefix` begins every job's id: jobs of another prefix load the same rows again."""

    project: str
    dataset: str
    location: str
    stream: str
    shard: str
    prefix: str
    ignore_unknown: bool = False

    def job_id(self, request: LoadRequest) -> str:
        """The same for the same rows and table, whoever asks and whenever: what makes a repeat harmless."""
        digest = hashlib.blake2s(digest_size=12)
        for part in (self.dataset, self.stream, self.shard):
            digest.update(f"{part}\n".encode())
        digest.update(array("I", request.indices).tobytes())
        shard = self.shard.removeprefix("shardId-").lstrip("0") or "0"
        chunk = request.chunk.name.replace(".", "_")
        return f"{self.prefix}-{request.table}-{shard}-{chunk}-{digest.hexdigest()}-{request.attempt}"

    def job(self, request: LoadRequest) -> bytes:
        """The job's resource. With no bad record allowed a job loads every row or none."""
        load = {
            "destinationTable": {
                "projectId": self.project,
                "datasetId": self.dataset,
                "tableId": request.table,
            },
            "sourceFormat": "NEWLINE_DELIMITED_JSON",
            "createDisposition": "CREATE_NEVER",
            "writeDisposition": "WRITE_APPEND",
            "maxBadRecords": 0,
            "ignoreUnknownValues": self.ignore_unknown,
        }
        reference = {
            "projectId": self.project,
            "jobId": self.job_id(request),
            "location": self.location,
        }
        return _encode({"jobReference": reference, "configuration": {"load": load}})


MULTIPART_TYPE = f"multipart/related; boundary={_BOUNDARY}"


def multipart(job: bytes, content: bytes) -> bytes:
    """Job and file in one body. https://cloud.google.com/bigquery/docs/reference/api-uploads"""
    return b"".join(
        (
            f"--{_BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode(),
            job,
            f"\r\n--{_BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n".encode(),
            content,
            f"\r\n--{_BOUNDARY}--\r\n".encode(),
        )
    )
