"""A shard as its owner knows it, and what is kept of it: a stream before its first row, a mark before a checkpoint."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence

from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Position, Record
from consumer.sinks.bigquery.rows.reading import records_at
from consumer.sinks.bigquery.storage_write import positions
from consumer.sinks.bigquery.storage_write.appends import Lane, Progress
from consumer.sinks.bigquery.storage_write.positions import Replay, ShardState, Stream
from consumer.sinks.bigquery.storage_write.store import Generations, PositionStore, Refused


class OwnShard:
    """From the moment it was taken over. What is kept raises TransientError or SetupError, and can be repeated;
    Superseded once the shard has another owner."""

    def __init__(
        self,
        *,
        store: PositionStore,
        generations: Generations,
        state: ShardState,
        refused: Mapping[str, Sequence[Refused]],
        start: Position | None,
    ) -> None:
        """`refused` are the rows that the server has refused, by the key they are kept under."""
        self._store = store
        self._generations = generations
        self._saving = threading.Lock()
        self._unsettled: deque[Progress] = deque()
        self.state = state
        self.replay = Replay(state, start)
        self.lanes = {table: Lane(total) for table, total in state.present.totals.items()}
        self._may_write = True
        """It is kept that rows past the mark may be in the tables (ShardState.settled), and where counting began."""
        self._refused = {(row.era, row.position): row.detail for rows in refused.values() for row in rows}
        self._refused_keys = {key: rows[-1].position for key, rows in refused.items()}

    @property
    def era(self) -> int:
        """The number of the present one."""
        return self.state.present.number

    @property
    def has_unsettled(self) -> bool:
        """Whether a chunk was begun of which no checkpoint tells."""
        return bool(self._unsettled)

    def begin(self, progress: Progress) -> None:
        """A chunk that makes requests, in the shard's order."""
        self._unsettled.append(progress)

    def begin_counting(self) -> None:
        """Where reading has gone on at another record than the mark's, and no rows were written past that."""
        if self.replay.begins_at is not None:
            self.state.begin_at(self.replay.begins_at)
            self._may_write = False
            self.replay.begins_at = None

    def unsettle(self) -> None:
        """To be called before a row is written."""
        if self._may_write:
            return
        with self._saving:
            self.state.settled = False
            self._save_mark()
            self._may_write = True

    def keep_all(self) -> None:
        """A mark without the counts of a passed era needs eras without it: the streams come first."""
        self._save_streams()
        self._save_mark()

    def keep_stream(self, table: str, stream: Stream) -> None:
        with self._saving:
            self.state.present.streams[table] = stream
            self._save_streams()

    def keep_totals(self, streams: Mapping[str, Stream]) -> None:
        """Of streams by table that were finalized."""
        with self._saving:
            present = self.state.present
            for table, stream in streams.items():
                if present.streams.get(table) == stream:
                    del present.streams[table]
                    present.totals[table] = self.lanes[table].count
            self._save_streams()

    def keep_mark(self, position: Position) -> None:
        """How many rows are in the tables at a position, up to which everything is durable."""
        with self._saving:
            if not any(progress.end == position for progress in self._unsettled):
                self._save_mark()
                return
            while True:
                progress = self._unsettled.popleft()
                self.state.move_mark(progress.end, progress.rows)
                if progress.end == position:
                    break
            # what comes next is prepared first, and written only once this was taken back
            self.state.settled = not self._unsettled and not self.replay.awaits_any()
            self._may_write = self._may_write and not self.state.settled
            self._save_mark()
            self._may_write = not self.state.settled
            if self.state.forget_passed_eras():
                self._save_streams()
                self.state.forget_their_counts()
        self._forget_refused(position)

    def keep_refused(self, refused: Sequence[Refused]) -> None:
        """Rows that the server has refused, in order; before their neighbours are sent again without them."""
        for key in self._store.refuse(refused):
            self._refused_keys[key] = refused[-1].position

    def without_refused(self, era: int, records: Sequence[Record], indices: Sequence[int]) -> Sequence[int]:
        """The records whose rows of that era the server had not refused when the shard was taken over."""
        if not self._refused:
            return indices
        chosen = zip(indices, records_at(records, indices), strict=True)
        return [index for index, record in chosen if (era, record.position) not in self._refused]

    def rejected_before(self, era: int, records: Sequence[Record], indices: Sequence[int]) -> list[Rejection]:
        """Those whose rows it had."""
        if not self._refused:
            return []
        chosen = zip(indices, records_at(records, indices), strict=True)
        details = [(index, self._refused.get((era, record.position))) for index, record in chosen]
        return [Rejection(index, "rejected", detail) for index, detail in details if detail is not None]

    def _forget_refused(self, mark: Position) -> None:
        if not self._refused_keys:
            return
        passed = positions.order(mark)
        keys = [key for key, last in self._refused_keys.items() if positions.order(last) <= passed]
        for key in keys:
            self._store.forget([key])
            del self._refused_keys[key]

    def _save_mark(self) -> None:
        self._store.save_state(self._generations, positions.encode_mark(self.state))

    def _save_streams(self) -> None:
        self._store.save_streams(self._generations, positions.encode_eras(self.state))
