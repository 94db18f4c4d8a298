"""Which of the records to come were written under earlier rules, by owners before this one."""

from collections.abc import Callable, Sequence

from consumer.domain.records import Record
from consumer.sinks.bigquery.arrow_rows.log_rows import RowMaker
from consumer.sinks.bigquery.arrow_rows.rules import NEW_VERDICTS, Rules
from consumer.sinks.bigquery.storage_write.appends import Progress
from consumer.sinks.bigquery.storage_write.own_shard import OwnShard


class EarlierRows:
    """Of a shard that was just taken over."""

    def __init__(self, shard: OwnShard, maker_of: Callable[[Rules], RowMaker]) -> None:
        self._shard = shard
        self._eras = shard.state.eras[:-1]
        self._makers = {era.number: maker_of(era.rules) for era in self._eras}

    def unknown_verdict(self, records: Sequence[Record], indices: Sequence[int]) -> str | None:
        """What keeps the records from being told apart: an earlier version of the rules has written rows that are not
        met yet, and one of the records may be among them or not. To guess would lose its neighbour or double it. The
        same goes for the rows of another transform."""
        present = self._shard.state.present.rules
        for era in self._eras:
            if era.rules.transform != present.transform and self._shard.replay.awaits(era.number):
                return (
                    "rows past the checkpoint were made by another transform than the present one, without which they"
                    " cannot be told: let that run and stop it in order, or see docs/storage-write.md"
                )
            new_verdicts = NEW_VERDICTS.get(era.rules.version)
            if new_verdicts is None or not self._shard.replay.awaits(era.number):
                continue
            _, rejections = self._makers[era.number].make(records, indices)
            for each in rejections:
                if each.reason in new_verdicts:
                    return (
                        f"record {records[each.index].position} ({each.reason}) was judged by an older version of this"
                        " daemon, whose rows past the checkpoint cannot be told without it: let that version run"
                        " and stop it in order, or see docs/storage-write.md"
                    )
        return None

    def not_written(
        self, records: Sequence[Record], indices: Sequence[int], progress: Progress
    ) -> Sequence[int]:
        """The records that no earlier era has written; those that one has are added to `progress`."""
        shard = self._shard
        for number, maker in self._makers.items():
            if not shard.replay.awaits(number) or not indices:
                continue
            tables, _ = maker.make(records, shard.without_refused(number, records, indices))
            written: set[int] = set()
            for table, rows in tables.items():
                taken = shard.replay.take(number, table, len(rows.indices))
                progress.add(number, table, taken)
                written.update(rows.indices[:taken])
            indices = [index for index in indices if index not in written]
        return indices
