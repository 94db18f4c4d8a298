"""A replay's shard process over the real protocol: it stops by itself at the end of the range."""

from consumer.domain.events import REPLAYED
from consumer.domain.replay import Replay
from tests.functional.conftest import StartShard
from tests.functional.harness.event_log import EventLog
from tests.functional.harness.kcl import payload, record
from tests.functional.harness.s3_stub import S3Stub
from tests.functional.harness.shard_settings import s3_settings

BEGAN_MS = 1_700_000_000_000
REPLAY = Replay(until_ms=BEGAN_MS + 11_000)
CHUNKS_OF_THREE = {"chunk.max_records": "3"}


def arrived(number: int) -> dict[str, object]:
    """A record that arrived so many seconds after the first."""
    return record(number, payload(number), arrival_ms=BEGAN_MS + number * 1000)


def test_it_delivers_the_last_chunk_whole_then_takes_nothing_more_until_it_is_shut_down(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    kcl = start_shard(s3_settings(s3, CHUNKS_OF_THREE), events=events.path, environment=REPLAY.environment())
    kcl.initialize()
    kcl.process([arrived(number) for number in range(1, 9)])
    kcl.process([arrived(number) for number in range(9, 16)])
    kcl.tick_until_confirmed(12)
    kcl.process([arrived(number) for number in range(16, 19)])  # the KCL reads on for a while
    status = events.status(lambda event: event.state == REPLAYED)
    assert status.counters["records_delivered"] == 12
    assert status.counters["records_read"] == 12 + status.counters["records_left"]
    assert sorted(s3.lines, key=len) == sorted(map(payload, range(1, 13)), key=len)

    kcl.terminate()
    kcl.shut_down()
    assert kcl.confirmed[-1] == ("12", None)
    assert kcl.finish() == 0


def test_started_again_at_its_checkpoint_it_delivers_nothing_twice(
    s3: S3Stub, start_shard: StartShard, events: EventLog
) -> None:
    kcl = start_shard(s3_settings(s3, CHUNKS_OF_THREE), events=events.path, environment=REPLAY.environment())
    kcl.initialize("12")
    kcl.give([arrived(number) for number in range(13, 16)])
    assert events.status(lambda event: event.state == REPLAYED).counters.get("records_delivered", 0) == 0
    assert s3.lines == []
    assert kcl.asked == []
