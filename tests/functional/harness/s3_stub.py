"""S3, as far as PutObject goes."""

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.functional.harness.http_stub import LOST, HttpStub, Reply


@dataclass(frozen=True, slots=True)
class Put:
    """One PutObject; `number` counts requests from 1, `key` has no bucket."""

    key: str
    body: bytes
    number: int

    @property
    def lines(self) -> list[bytes]:
        return gzip.decompress(self.body).splitlines()


type Fault = Callable[["S3Stub", Put], Reply]
type Rule = Callable[[Put], Fault | None]
"""The fault that a put meets; None lets it through."""


def error(status: int, code: str) -> Fault:
    body = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
    return lambda stub, put: Reply(status, body, "application/xml")


INTERNAL_ERROR = error(500, "InternalError")
SLOW_DOWN = error(503, "SlowDown")
ACCESS_DENIED = error(403, "AccessDenied")


def reset(stub: "S3Stub", put: Put) -> Reply:
    return LOST


def answer_lost(stub: "S3Stub", put: Put) -> Reply:
    """Stores the object, but the client never hears of it."""
    stub.store(put)
    return LOST


def held_until(gate: threading.Event) -> Fault:
    """Blocks until the gate opens, then goes through."""

    def fault(stub: "S3Stub", put: Put) -> Reply:
        stub.holding(put)
        stub.block(gate)
        return stub.store(put)

    return fault


class S3Stub(HttpStub):
    """`objects` by key, without the bucket; `held` are the puts that a gate has stopped, in order."""

    bucket = "player-logs"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.versions: list[tuple[str, bytes]] = []
        self.held: list[Put] = []
        self.rule: Rule = lambda put: None
        super().__init__()

    def handle(self, path: str, body: bytes, number: int) -> Reply:
        put = Put(unquote(path).removeprefix(f"/{self.bucket}/"), body, number)
        fault = self.rule(put)
        return self.store(put) if fault is None else fault(self, put)

    def store(self, put: Put) -> Reply:
        with self.changed:
            self.objects[put.key] = put.body
            self.versions.append((put.key, put.body))
        return Reply(200)

    def holding(self, put: Put) -> None:
        with self.changed:
            self.held.append(put)
            self.changed.notify_all()

    def wait_for_objects(self, count: int) -> None:
        self.wait_until(lambda: len(self.objects) >= count)

    def wait_for_held(self, count: int) -> None:
        self.wait_until(lambda: len(self.held) >= count)

    @property
    def lines(self) -> list[bytes]:
        """Every delivered record, by key; dead letters aside."""
        return [
            line
            for key, body in sorted(self.objects.items())
            if not key.startswith("deadletter/")
            for line in gzip.decompress(body).splitlines()
        ]

    @property
    def dead_letters(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for key, body in sorted(self.objects.items())
            if key.startswith("deadletter/")
            for line in gzip.decompress(body).splitlines()
        ]

    def one_content_per_key(self) -> bool:
        """I2: whatever was written twice was written alike."""
        return len(set(self.versions)) == len(self.objects)


def when(matches: Callable[[Put], bool], fault: Fault) -> Rule:
    return lambda put: fault if matches(put) else None


def first(times: int, fault: Fault) -> Rule:
    return when(lambda put: put.number <= times, fault)


def holds_record(*numbers: int) -> Callable[[Put], bool]:
    """Puts of chunks that start at one of these sequence numbers."""
    stems = tuple(f"-{number}-" for number in numbers)
    return lambda put: any(stem in put.key.rsplit("/", 1)[-1] for stem in stems)
