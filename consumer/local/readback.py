"""Reads what the backends hold: S3 objects, dead letters, BigQuery rows."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import msgspec
import urllib3
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from consumer.domain.object_names import parse_object_name
from consumer.local.bigquery import ROWS_PATH
from consumer.local.objects import lines_of_object
from consumer.local.stack import Stack
from consumer.local.verify import DeadLetter, Row

_COUNT_SECONDS = 10.0


class _Line(msgspec.Struct):
    payload: bytes
    reason: str = ""


class S3Reader:
    """Objects under a prefix of the stack's bucket. Bodies are fetched once; the daemon never rewrites one."""

    def __init__(self, stack: Stack, prefix: str) -> None:
        self._client = stack.client("s3", max_pool_connections=8)
        self._bucket = stack.bucket
        self._prefix = prefix
        self._bodies: dict[str, bytes] = {}

    def keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def lines(self) -> Iterator[bytes]:
        """The lines of all objects, without their line ends."""
        keys = self.keys()
        with ThreadPoolExecutor(4) as pool:
            for body in pool.map(self._body, keys):
                yield from body.removesuffix(b"\n").split(b"\n") if body else ()

    def objects(self) -> Iterator[tuple[str, list[bytes]]]:
        """Keys with their lines, fetched anew and one at a time: for more than memory should hold."""
        for key in self.keys():
            body = self._fetched(key)
            yield key, body.removesuffix(b"\n").split(b"\n") if body else []

    def forget(self) -> None:
        """Fetch all bodies anew from here on."""
        self._bodies.clear()

    def _body(self, key: str) -> bytes:
        if key not in self._bodies:
            self._bodies[key] = self._fetched(key)
        return self._bodies[key]

    def _fetched(self, key: str) -> bytes:
        packed: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return lines_of_object(packed)


def dead_letters(lines: Iterable[bytes]) -> Iterator[DeadLetter]:
    """Dead letters from the lines of their objects. Raises msgspec.DecodeError for a line that is none."""
    for line in lines:
        letter = msgspec.json.decode(line, type=_Line)
        yield DeadLetter(payload=letter.payload, reason=letter.reason)


def records_named(keys: Iterable[str]) -> int:
    """How many records the chunks behind these objects hold, by their names: cheap, for progress only."""
    chunks = {(name.stem, name.first): name.records for key in keys if (name := parse_object_name(key))}
    return sum(chunks.values())


class BigQueryReader:
    """The tables of the stack's dataset."""

    def __init__(self, stack: Stack, *, time_column: str) -> None:
        self._client = bigquery.Client(
            project=stack.project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options=ClientOptions(api_endpoint=stack.bigquery_endpoint),
        )
        self._stack = stack
        self._pool = urllib3.PoolManager(timeout=_COUNT_SECONDS, retries=False)
        self._dataset = f"{stack.project}.{stack.dataset}"
        self._time = time_column

    def tables(self) -> list[str]:
        """Names of the tables; a view over them would show every row again."""
        listed = self._client.list_tables(self._dataset)
        return sorted(table.table_id for table in listed if table.table_type == "TABLE")

    def count(self, prefix: str) -> int:
        """Rows of all tables whose names start so, by the word of the embedded service: for progress only.

        Raises OSError when it does not answer.
        """
        return sum(self.counts(prefix).values())

    def counts(self, prefix: str) -> dict[str, int]:
        """The same by table."""
        fields = {"project": self._stack.project, "dataset": self._stack.dataset, "prefix": prefix}
        url = f"{self._stack.bigquery_endpoint}{ROWS_PATH}"
        try:
            answer = self._pool.request("GET", url, fields=fields)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"{url}: {error}") from error
        if answer.status != 200:
            raise OSError(f"{url}: {answer.status}")
        tables: dict[str, int] = answer.json()["tables"]
        return tables

    def rows(self) -> Iterator[Row]:
        """All rows of all tables, of the shape `bigquery.row = log`."""
        for name in self.tables():
            select = f"SELECT `{self._time}`, TO_JSON_STRING(log) FROM `{self._dataset}.{name}`"
            for moment, log in self.query(select):
                assert isinstance(moment, datetime)
                yield Row(table=name, time=moment, log=log.encode())

    def query(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """What a statement answers; it runs as soon as the first row is asked for."""
        for row in self._client.query_and_wait(sql):
            yield row.values()
