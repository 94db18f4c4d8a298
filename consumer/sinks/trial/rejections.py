"""What delivery would make of records, by its own code and without a request: for `bin/check --sample`."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from consumer.domain.chunks import Chunk
from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.dead_letters import Rejection, ShareGuard, ShareLimit, one_a_record
from consumer.domain.records import Record
from consumer.domain.transformed import transformed
from consumer.settings import Settings
from consumer.sinks.bigquery.arrow_rows.build import row_maker
from consumer.sinks.bigquery.arrow_rows.rules import rules_of
from consumer.sinks.build import ShardContext, sink_module
from consumer.sinks.s3.build import sink_of

_SHARD = "shardId-000000000000"

type _Judge = Callable[[Chunk], Sequence[Rejection]]


def rejections(
    settings: Settings,
    payloads: Sequence[bytes],
    *,
    arrival_ms: int,
    outputs: Sequence[Sequence[bytes]] | None = None,
) -> Iterator[Rejection]:
    """The records that would become dead letters, by their place among the payloads, which arrive at that time, in
    milliseconds since the epoch. `outputs[i]` is what a transform has made of payload i, where there is one.

    BigQuery is not asked, so with `bigquery.row = fields` the columns of the schema file decide which values fit, for
    every method as for `storage_write`.
    """
    judge = _judge(settings)
    for begin in range(0, len(payloads), PART_RECORDS):
        some = payloads[begin : begin + PART_RECORDS]
        records = [Record(data, "", str(begin + place + 1), 0, arrival_ms) for place, data in enumerate(some)]
        chunk = Chunk(Records.of(records))
        if outputs is None:
            found = judge(chunk)
        else:
            made = transformed(chunk, outputs[begin : begin + PART_RECORDS])
            found = one_a_record([replace(each, index=made.origins[each.index]) for each in judge(made)])
        for rejection in found:
            yield Rejection(begin + rejection.index, rejection.reason, rejection.detail)


def _judge(settings: Settings) -> _Judge:
    if settings.backend == "s3":
        s3 = sink_of(settings, _SHARD, client=None)
        return lambda chunk: s3.prepare(chunk).rejections
    maker = row_maker(rules_of(settings), shard=_SHARD)
    if settings.text("bigquery.method") == "storage_write":
        return lambda chunk: maker.make(chunk.records, range(len(chunk.records)))[1]
    sink = sink_module(settings).build(_context(settings))
    if settings.text("bigquery.row") == "log":
        return lambda chunk: sink.prepare(chunk).rejections

    def judge(chunk: Chunk) -> Sequence[Rejection]:
        own = {rejection.index: rejection for rejection in sink.prepare(chunk).rejections}
        others = maker.make(chunk.records, range(len(chunk.records)))[1]
        # how large a row may be differs by method
        cells = {each.index: each for each in others if each.reason != "too_large"}
        return [rejection for _, rejection in sorted((cells | own).items())]

    return judge


def _context(settings: Settings) -> ShardContext:
    return ShardContext(
        settings=settings,
        shard=_SHARD,
        start=None,
        new_guard=lambda: ShareGuard(ShareLimit(max_ratio=1.0, window_records=1)),
        sleep=time.sleep,
    )
