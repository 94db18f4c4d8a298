"""What is said of dead letters."""

from consumer.domain.dead_letters import Reason, Rejection
from consumer.shard.delivery.dead_letter_log import DeadLetterLog
from tests.unit.builders import chunk_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rejected(*reasons: Reason) -> list[Rejection]:
    return [Rejection(place, reason, f"detail {place}") for place, reason in enumerate(reasons)]


def test_the_first_of_each_reason_is_told_at_once_and_the_number_once_a_minute() -> None:
    clock, lines = Clock(), list[str]()
    log = DeadLetterLog(lines.append, now=clock)
    chunk = chunk_of([b"x"] * 5)
    first = str(chunk.records[0].position)
    log.add(chunk, rejected("not_json", "not_json", "no_key"))
    assert len(lines) == 2
    assert lines[0] == f"the first dead letter for this reason: record {first}: not_json: detail 0"
    assert "no_key: detail 2" in lines[1]
    for _ in range(59):
        clock.now += 1
        log.tick()
        log.add(chunk, rejected("not_json"))
    assert len(lines) == 2
    clock.now += 1
    log.tick()
    counts = "62 dead letters (not_json 61, no_key 1) within 60 s, 62 since the start"
    assert lines[2:] == [f"{counts}; the last: record {first}: not_json: detail 0"]


def test_what_the_last_minute_brought_is_shown_until_one_brings_nothing() -> None:
    clock, lines = Clock(), list[str]()
    log = DeadLetterLog(lines.append, now=clock)
    assert log.recent is None
    log.add(chunk_of([b"x"]), rejected("too_large"))
    assert log.recent is not None
    assert log.recent.startswith("1 dead letters (too_large 1) in the last minute; the last: record ")
    clock.now += 60
    log.tick()
    assert log.recent is not None
    clock.now += 60
    log.tick()
    assert log.recent is None
    clock.now += 600
    log.tick()
    assert len(lines) == 2
