"""A stream as both applications have delivered it, on the embedded stack, without the KCL: written by their sinks, with
leases that say that all of it is behind the checkpoints."""

import gzip
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery as google_bigquery

from consumer.daemon.prepare.bigquery_tables import BigQueryTables
from consumer.daemon.prepare.lease_table import kcl_table_steps
from consumer.daemon.prepare.preparation import Patience, prepare
from consumer.daemon.report.log import Log
from consumer.domain.chunks import Chunk
from consumer.domain.columns import Records
from consumer.domain.dead_letters import ShareGuard, ShareLimit
from consumer.domain.records import Record
from consumer.local import stack as stacks
from consumer.local.stack import Stack
from consumer.settings import Backend, Settings, load
from consumer.settings.table import BACKENDS
from consumer.sinks.build import ShardContext, sink_module
from consumer.sinks.dead_letters import DeadLetterPlace, DeadLetterSink

SHARDS = ("shardId-000000000000", "shardId-000000000001")
HOUR_MS = 3_600_000


@dataclass
class Planted:
    """Two applications of this name and with these settings; `given` are settings by backend."""

    stack: Stack
    name: str
    given: dict[Backend, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings: dict[Backend, Settings] = {
            backend: load(backend, overrides=self.overrides(backend)) for backend in BACKENDS
        }
        log = Log(backend="bigquery", level="ERROR", clock=lambda: 0.0, write=lambda line: None)
        patience = Patience(
            timeout_seconds=60,
            monotonic=lambda: 0.0,
            pause=lambda seconds: False,
            tell=lambda lines: None,
        )
        tables = BigQueryTables(self.settings["bigquery"])
        tables.ensure_dataset()
        steps = [step for one in self.settings.values() for step in kcl_table_steps(one)]
        prepare([*tables.table_steps(), *steps], patience=patience, log=log)
        for backend in BACKENDS:
            self.lease(backend, "TRIM_HORIZON")

    def overrides(self, backend: Backend) -> dict[str, str]:
        own = {"s3": {"s3.prefix": f"{self.name}/"}, "bigquery": {"bigquery.table_prefix": self.table_prefix}}
        return {
            **stacks.overrides(self.stack, backend),
            "applicationName": f"{self.name}-{backend}",
            **own[backend],
            **self.given.get(backend, {}),
        }

    @property
    def table_prefix(self) -> str:
        return self.name.replace("-", "_")

    def options(self) -> list[str]:
        """Of a command that takes both backends."""
        return [
            "--s3-properties=/dev/null",
            "--bigquery-properties=/dev/null",
            *(
                f"--set-{backend}={key}={value}"
                for backend in BACKENDS
                for key, value in self.overrides(backend).items()
            ),
        ]

    def lease(self, backend: Backend, checkpoint: str) -> None:
        """The checkpoint of both shards. The stream is empty, so TRIM_HORIZON leaves nothing to be read."""
        for shard in SHARDS:
            self.stack.client("dynamodb").put_item(
                TableName=self.settings[backend].lease_tables[0],
                Item={
                    "leaseKey": {"S": shard},
                    "checkpoint": {"S": checkpoint},
                    "leaseCounter": {"N": "1"},
                },
            )

    def deliver(self, chunks: Sequence[Sequence[Record]], *, bigquery_rows: int = 2000) -> None:
        """To both: the chunks of S3, by turns of both shards, and those of BigQuery, of so many rows each."""
        by_shard: dict[str, list[Record]] = {shard: [] for shard in SHARDS}
        for number, records in enumerate(chunks):
            self._deliver("s3", SHARDS[number % 2], records)
            by_shard[SHARDS[number % 2]] += records
        for shard, records in by_shard.items():
            for begin in range(0, len(records), bigquery_rows):
                self._deliver("bigquery", shard, records[begin : begin + bigquery_rows])

    def object_keys(self) -> list[str]:
        pages = self.stack.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.stack.bucket, Prefix=f"{self.name}/")
        return [one["Key"] for page in found for one in page.get("Contents", ())]

    def lines(self, key: str) -> list[bytes]:
        body = self.stack.client("s3").get_object(Bucket=self.stack.bucket, Key=key)["Body"].read()
        return gzip.decompress(body).splitlines()

    def delete_object(self, key: str) -> None:
        self.stack.client("s3").delete_object(Bucket=self.stack.bucket, Key=key)

    def put_object(self, key: str, lines: Sequence[bytes]) -> None:
        body = gzip.compress(b"".join([line + b"\n" for line in lines]))
        self.stack.client("s3").put_object(Bucket=self.stack.bucket, Key=key, Body=body)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """`{}` is the dataset's name and a dot and the tables' prefix."""
        client = google_bigquery.Client(
            project=self.stack.project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": self.stack.bigquery_endpoint},
        )
        named = sql.replace("{}", f"{self.stack.dataset}.{self.table_prefix}")
        return [row.values() for row in client.query_and_wait(named)]

    def _deliver(self, backend: Backend, shard: str, records: Sequence[Record]) -> None:
        settings = self.settings[backend]
        chunk = Chunk(Records.of(records))
        guard = partial(ShareGuard, ShareLimit(1.0, 1000))
        context = ShardContext(settings=settings, shard=shard, start=None, new_guard=guard, sleep=time.sleep)
        sink: Any = sink_module(settings).build(context)
        prepared = sink.prepare(chunk)
        for request in prepared.requests:
            assert not sink.send(request).rejections
        if prepared.rejections:
            place = DeadLetterPlace(
                bucket=settings.text("deadletter.bucket"),
                prefix=settings.text("deadletter.prefix"),
                application=settings.text("applicationName"),
                stream=settings.stream_name,
                shard=shard,
            )
            DeadLetterSink(place, lambda: self.stack.client("s3")).write(chunk, prepared.rejections)


def chunked(payloads: Iterator[bytes], arrivals: Sequence[int], size: int) -> list[list[Record]]:
    """Records in chunks of `size`, the sequence numbers sparse as those of Kinesis."""
    records = [
        Record(payload, "key", f"{49 * 10**54 + 1_000 * number}", 0, arrival_ms)
        for number, (payload, arrival_ms) in enumerate(zip(payloads, arrivals, strict=True))
    ]
    return [records[begin : begin + size] for begin in range(0, len(records), size)]
