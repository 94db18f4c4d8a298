"""How a shard is taken over: the former owner's streams take no more rows, and tell how many they have."""

from typing import TYPE_CHECKING

from consumer.domain.errors import SetupError
from consumer.domain.records import Position
from consumer.sinks.bigquery.arrow_rows.rules import Rules
from consumer.sinks.bigquery.storage_write import positions
from consumer.sinks.bigquery.storage_write.answers import CallFailed, Meaning, delivery_error, meaning_of
from consumer.sinks.bigquery.storage_write.own_shard import OwnShard
from consumer.sinks.bigquery.storage_write.positions import ShardState
from consumer.sinks.bigquery.storage_write.store import SETTING, PositionStore

if TYPE_CHECKING:  # it needs gRPC, which starts threads: no fork may come after that
    from consumer.sinks.bigquery.storage_write.writer import Writer

_OF_FORMER_OWNER = "streams of the former owner"


def take_over(store: PositionStore, writer: "Writer", rules: Rules, start: Position | None) -> OwnShard:
    """Blocks; raises TransientError or SetupError, and can be repeated."""
    taken = store.take_over()
    try:
        state = (
            positions.decode_state(taken.state, taken.streams) if taken.state is not None else ShardState()
        )
    except positions.UnknownState as error:
        raise SetupError(f"what is kept of the shard cannot be read: {error}", setting=SETTING) from error
    refused = store.refused()
    if taken.state is None:
        # of a count that somebody has removed
        store.forget(refused)
        refused = {}
    state.close_streams(_finalized(writer, state))
    state.settled = False
    state.begin(rules)
    shard = OwnShard(store=store, generations=taken.generations, state=state, refused=refused, start=start)
    shard.keep_all()
    return shard


def _finalized(writer: "Writer", state: ShardState) -> dict[str, int]:
    """The rows of the former owner's streams, by name; those that are gone are left out where they are known."""
    streams = state.open_streams()
    try:
        return writer.finalize(streams)
    except CallFailed as failure:
        if meaning_of(failure) is not Meaning.GONE:
            raise delivery_error(failure, _OF_FORMER_OWNER) from failure
        if not state.settled:
            raise SetupError(
                f"a stream of the former owner is gone, and with it the number of its rows: {failure};"
                " docs/storage-write.md says what to do",
                setting=SETTING,
            ) from failure
    found: dict[str, int] = {}
    for stream in streams:
        try:
            found |= writer.finalize([stream])
        except CallFailed as failure:
            if meaning_of(failure) is not Meaning.GONE:
                raise delivery_error(failure, _OF_FORMER_OWNER) from failure
    return found
