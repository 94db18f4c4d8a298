"""PutRecords with a few calls in flight; what Kinesis refuses is sent again."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from consumer.local.records import Outgoing

_PERMANENT = {
    "ResourceNotFoundException",
    "ValidationException",
    "InvalidArgumentException",
    "AccessDeniedException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SerializationException",
}


class PutError(Exception):
    """Kinesis refused records for a reason that sending them again does not cure."""


class Kinesis(Protocol):
    """The one call of boto3's Kinesis client the producer needs."""

    def put_records(self, **request: Any) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Full jitter: wait 0 to min(max, base x 2^n) seconds, for at most `attempts` tries."""

    attempts: int = 20
    base_seconds: float = 0.1
    max_seconds: float = 5.0

    def delay(self, attempt: int, chance: float) -> float:
        return chance * min(self.max_seconds, self.base_seconds * 2.0**attempt)


@dataclass(slots=True)
class Sent:
    """Counts, in user records but for `calls` and `puts` (Kinesis records)."""

    records: int = 0
    bytes: int = 0
    puts: int = 0
    calls: int = 0
    resent: int = 0
    failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **counts: int) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)


#: Told of each record stored and the shard that took it; returns records to send in its place.
Placed = Callable[[Outgoing, str], list[Outgoing]]


@dataclass(slots=True, kw_only=True)
class Producer:
    """Sends batches, each fitting one PutRecords call, `in_flight` at a time."""

    client: Kinesis
    stream: str
    in_flight: int = 4
    retry: Retry = field(default_factory=Retry)
    placed: Placed = lambda record, shard: []
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    sent: Sent = field(default_factory=Sent)

    def send(self, batches: Iterable[list[Outgoing]]) -> Sent:
        """Send everything; blocks while `in_flight` calls are out.

        Records still refused after the last attempt are counted in `failed`. Raises PutError when
        Kinesis refuses a call for good; batches after it are not sent.
        """
        with ThreadPoolExecutor(self.in_flight, thread_name_prefix="put") as pool:
            running: set[Future[None]] = set()
            for batch in batches:
                if len(running) >= self.in_flight:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    _raise_first(done)
                running.add(pool.submit(self._deliver, batch))
            _raise_first(running)
        return self.sent

    def _deliver(self, batch: list[Outgoing]) -> None:
        for attempt in range(self.retry.attempts):
            if attempt:
                self.sent.add(resent=sum(record.user_records for record in batch))
                self.sleep(self.retry.delay(attempt, self.chance()))
            batch = self._put(batch)
            if not batch:
                return
        self.sent.add(failed=sum(record.user_records for record in batch))

    def _put(self, batch: list[Outgoing]) -> list[Outgoing]:
        """One call; returns what has to be sent again."""
        self.sent.add(calls=1)
        try:
            answer = self.client.put_records(StreamName=self.stream, Records=[_entry(one) for one in batch])
        except ParamValidationError as error:
            raise PutError(str(error)) from error
        except ClientError as error:
            if error.response["Error"]["Code"] in _PERMANENT:
                raise PutError(str(error)) from error
            return batch
        except BotoCoreError:
            return batch
        again: list[Outgoing] = []
        for record, result in zip(batch, answer["Records"], strict=True):
            if result.get("ErrorCode"):
                again.append(record)
            elif instead := self.placed(record, result["ShardId"]):
                again.extend(instead)
            else:
                self.sent.add(records=record.user_records, bytes=len(record.data), puts=1)
        return again


def _entry(record: Outgoing) -> dict[str, Any]:
    entry: dict[str, Any] = {"Data": record.data, "PartitionKey": record.partition_key}
    if record.explicit_hash_key is not None:
        entry["ExplicitHashKey"] = record.explicit_hash_key
    return entry


def _raise_first(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        future.result()


def paced(
    batches: Iterable[list[Outgoing]],
    records_per_second: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Outgoing]]:
    """Hand out batches no faster than the rate; blocks in between."""
    start, handed_out = clock(), 0
    for batch in batches:
        if (ahead := start + handed_out / records_per_second - clock()) > 0:
            sleep(ahead)
        yield batch
        handed_out += sum(record.user_records for record in batch)
