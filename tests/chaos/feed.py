"""The steady feed: puts records at a rate from a thread of its own, and enters each into the journal."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from consumer.local.stack import Stack
from tests.chaos.journal import Fed, Journal

_BATCH_SECONDS = 0.25


class Feed:
    """A put that fails or stays unanswered is not repeated: its records are attempts, and no more."""

    def __init__(self, client: Any, stream: str, records: Iterator[Fed], *, rate: float) -> None:
        self._client = client
        self._stream = stream
        self._records = records
        self._batch = max(1, round(rate * _BATCH_SECONDS))
        self._pause = self._batch / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self.journal = Journal()
        self.failed_calls = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more puts after this returns. Safe to repeat."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            # after a stall the feed goes on at its rate, it does not catch up
            due = max(due, time.monotonic() - 1) + self._pause
            self._put([next(self._records) for _ in range(self._batch)])

    def _put(self, batch: list[Fed]) -> None:
        for fed in batch:
            self.journal.attempt(fed)
        entries = [_entry(fed) for fed in batch]
        try:
            answer = self._client.put_records(StreamName=self._stream, Records=entries)
        except (BotoCoreError, ClientError):
            self.failed_calls += 1
            return
        for fed, result in zip(batch, answer["Records"], strict=True):
            if not result.get("ErrorCode"):
                self.journal.acknowledge(fed.number)


def _entry(fed: Fed) -> dict[str, Any]:
    # not the player: there are too few of them to spread over several shards
    return {"Data": fed.data, "PartitionKey": fed.log_id}


@contextlib.contextmanager
def feeding(stack: Stack, records: Iterator[Fed], *, rate: float) -> Iterator[Feed]:
    """A running feed of these records, stopped on the way out."""
    client = stack.client("kinesis", retries={"total_max_attempts": 1}, read_timeout=10)
    feed = Feed(client, stack.stream, records, rate=rate)
    feed.start()
    try:
        yield feed
    finally:
        feed.stop()
