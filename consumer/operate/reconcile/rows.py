"""What BigQuery holds, asked by SQL: sums by table, span and part, and the rows of some of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import batched
from typing import Any

from consumer.daemon.prepare.bigquery_api import BigQueryApi, NotFound
from consumer.daemon.prepare.preparation import NotReady
from consumer.domain.errors import TransientError
from consumer.domain.routing import table_names
from consumer.operate.errors import Refused
from consumer.operate.patience import Patience
from consumer.operate.reconcile.compare import CHECK, Bucket, Copy, Kind, Sum, Sums, Unequal
from consumer.operate.reconcile.spans import DAY_MS, Scope
from consumer.settings import Settings
from consumer.settings.schema import METADATA_COLUMNS
from consumer.sinks.bigquery.rows.times import NEWEST_DAYS, OLDEST_DAYS

_NEEDS = ("bigquery.jobs.create", "bigquery.tables.getData")
_SHARD, _SEQUENCE, _ARRIVED = METADATA_COLUMNS
_IDENTITY = f"CONCAT({_SHARD}, '/', {_SEQUENCE})"
_SELECTS = 100
"""In one query of rows."""
_ONCE: dict[str, Any] = {"retry": None, "job_retry": None}


class Rows:
    """The tables of the settings. `parts` as compare.Bucket has them. Rows that arrived within the scope are looked for
    from a day before the first of `own_times` to a day after the last, in milliseconds, so that BigQuery reads few
    partitions."""

    def __init__(
        self,
        settings: Settings,
        scope: Scope,
        *,
        parts: int,
        own_times: tuple[int, int],
        api: BigQueryApi,
        patience: Patience,
    ) -> None:
        self._api = api
        self._patience = patience
        self._dataset = f"{settings.text('bigquery.project')}.{settings.text('bigquery.dataset')}"
        self._tables = table_names(
            settings.text("bigquery.table_prefix"), settings.integer("bigquery.key_digits")
        )
        self.identified = settings.flag("bigquery.metadata_columns")
        time = f"`{settings.text('bigquery.partition_field')}`"
        self._key = f"`{settings.text('record.key_field')}`"  # a STRING, by the checks of the settings
        self._micros = f"UNIX_MICROS({time})"
        self._partition = scope.partition
        self._filed = f"UNIX_MICROS({_ARRIVED})" if scope.by_arrival else self._micros
        self._grain = f"DIV({self._filed}, {scope.partition.grain_ms * 1000})"
        self._part = f"MOD(DIV({self._micros}, 60000000), {parts})"
        if scope.by_arrival:
            oldest_ms = max(own_times[0], scope.begin_ms - OLDEST_DAYS * DAY_MS) - DAY_MS
            newest_ms = min(own_times[1], scope.end_ms + NEWEST_DAYS * DAY_MS) + DAY_MS
            arrived = _between(_ARRIVED, scope.begin_ms, scope.end_ms)
            self._range = f"{_between(time, oldest_ms, newest_ms)} AND {arrived}"
        else:
            self._range = _between(time, scope.begin_ms, scope.end_ms)

    def sums(self) -> Sums:
        """Of all tables. Raises Trouble, DeliveryError, and Refused where a table is not there."""
        records = (
            f"COUNT(DISTINCT {_IDENTITY}) + COUNTIF({_SHARD} IS NULL)" if self.identified else "COUNT(*)"
        )
        query = " UNION ALL ".join(
            f"SELECT '{table}', {self._grain} AS grain, {self._part} AS part, {records},"
            f" SUM(MOD({self._micros}, {CHECK})), COUNT(*) FROM `{self._dataset}.{table}`"
            f" WHERE {self._range} GROUP BY grain, part"
            for table in self._tables
        )
        sums: Sums = {}
        for table, grain, part, count, check, rows in self._ask(query):
            span = self._partition.floor(grain * self._partition.grain_ms)
            found = sums.setdefault(Bucket(table, span, part), Sum())
            found.records += count
            found.check += check
            found.doubled += rows - count
        return sums

    def copies(self, some: Sequence[Unequal]) -> Iterator[tuple[Unequal, Copy]]:
        """The rows of these, of which no two have table and span in common."""
        by_place = {(one.table, one.span): one for one in some}
        for each in batched(by_place.items(), _SELECTS, strict=False):
            query = " UNION ALL ".join(self._select(one) for _, one in each)
            for table, span, key, time_us, same in self._ask(query):
                where = _where(table, same if self.identified else None, key, time_us)
                yield by_place[table, span], Copy(key, time_us, same, Kind.DELIVERED, where)

    def _select(self, one: Unequal) -> str:
        digest = "TO_HEX(MD5(TO_JSON_STRING(r)))"
        same = f"IFNULL({_IDENTITY}, {digest})" if self.identified else digest
        parts = (
            "" if one.parts is None else f" AND {self._part} IN ({', '.join(map(str, sorted(one.parts)))})"
        )
        end_ms = self._partition.after(one.span)
        return (
            f"SELECT '{one.table}', {one.span}, {self._key}, {self._micros}, {same}"
            f" FROM `{self._dataset}.{one.table}` AS r WHERE {self._range}"
            f" AND {self._filed} >= {one.span * 1000} AND {self._filed} < {end_ms * 1000}{parts}"
        )

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        def ask() -> list[tuple[Any, ...]]:
            return [row.values() for row in self._api.client.query_and_wait(query, **_ONCE)]

        def attempt() -> list[tuple[Any, ...]]:
            try:
                return self._api.ask(ask, *_NEEDS)
            except NotReady as error:
                raise TransientError(str(error)) from error

        try:
            return self._patience.keep(attempt)
        except NotFound as error:
            said = next((one.get("message") for one in error.errors), str(error))
            raise Refused(f"bigquery.dataset, bigquery.table_prefix: {said}") from error


def _between(column: str, begin_ms: int, end_ms: int) -> str:
    return f"{column} >= {_timestamp(begin_ms)} AND {column} < {_timestamp(end_ms)}"


def _timestamp(time_ms: int) -> str:
    """A literal, by which BigQuery leaves partitions out."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"TIMESTAMP '{moment.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z'"


def _where(table: str, identity: str | None, key: str | None, time_us: int) -> str:
    if identity is not None:
        return f"row {identity} of {table}"
    moment = datetime.fromtimestamp(time_us // 1000 / 1000, UTC).isoformat(timespec="milliseconds")
    return f"row of {table} with key {key} and time {moment.removesuffix('+00:00')}Z"
