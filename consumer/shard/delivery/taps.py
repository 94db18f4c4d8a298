"""Samples of what a shard process delivers, for whoever listens with `bin/tap`.

Nothing is done for a record that is not sampled, and nothing for a chunk while nobody listens. A listener that is slow,
frozen or gone loses samples: delivery neither waits for it nor fails.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection
from consumer.domain.excerpts import excerpt
from consumer.domain.records import Record
from consumer.domain.taps import (
    MOST_RECORDS,
    MOST_TAPS,
    REQUEST_SUFFIX,
    SOCKET_SUFFIX,
    Allowance,
    Sample,
    Samples,
    TapRequest,
    decode_request,
    encode_samples,
    payload_share,
)

_KEY_CHARACTERS = 256
"""Kinesis takes no longer partition key."""


class Listener:
    """One tap: it has a socket of its own, so that one that is frozen takes no other's room."""

    def __init__(self, address: str, request: TapRequest, now: Callable[[], float]) -> None:
        """`now` is in seconds and only grows."""
        self.request = request
        self.gone = False
        self._address = address
        self._allowance = Allowance(request.rate, now)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._passed = 0

    def wanted(self, records: int) -> int:
        """How many of a chunk's records it gets."""
        return self._allowance.take(min(records, MOST_RECORDS))

    def send(self, shard: str, passed: int, samples: Sequence[Sample]) -> None:
        """Of a chunk of so many records. Never blocks, never fails."""
        self._passed += passed
        if not samples:
            return
        datagram = encode_samples(Samples(shard=shard, passed=self._passed, samples=[*samples]))
        try:
            self._socket.sendto(datagram, self._address)
        except (ConnectionError, FileNotFoundError):
            self.gone = True
        except OSError:  # it is slow
            return
        self._passed = 0

    def close(self) -> None:
        self._socket.close()


class Listeners:
    """Those whose requests are in a folder, as of the last look."""

    def __init__(
        self,
        folder: Path,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        # by way of its parent's descriptor: a socket's address takes 108 bytes, a path may be longer
        parent = os.open(folder.parent, os.O_PATH | os.O_DIRECTORY)
        self._address = f"/proc/self/fd/{parent}/{folder.name}"
        self._now = now
        self._monotonic = monotonic
        self._known: dict[str, Listener] = {}

    def look(self) -> None:
        """To be called every second or so."""
        names: Sequence[str] = ()
        with suppress(OSError):  # without the folder nobody has ever listened
            names = os.listdir(self._folder)  # noqa: PTH208 - no object for each
        if not names and not self._known:
            return
        requests = [name for name in names if name.endswith(REQUEST_SUFFIX)]
        self._know({name: self._request(name) for name in sorted(requests)[:MOST_TAPS]})

    def of(self, shard: str) -> list[Listener]:
        """Those that want to hear of the shard."""
        if not self._known:
            return []
        now_ms = self._now() * 1000
        return [
            each
            for each in self._known.values()
            if not each.gone and each.request.until_ms > now_ms and each.request.wants(shard)
        ]

    def _request(self, name: str) -> TapRequest | None:
        try:
            return decode_request((self._folder / name).read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def _know(self, requests: dict[str, TapRequest | None]) -> None:
        before, self._known = self._known, {}
        for name, request in requests.items():
            if request is None:
                continue
            listener = before.pop(name, None)
            if listener is None:
                address = f"{self._address}/{name.removesuffix(REQUEST_SUFFIX)}{SOCKET_SUFFIX}"
                try:
                    listener = Listener(address, request, self._monotonic)
                except OSError:  # no descriptor is left: delivery goes on, and the next look tries once more
                    continue
            listener.request = request
            self._known[name] = listener
        for listener in before.values():
            listener.close()


@dataclass(slots=True)
class _Chosen:
    """One record of a chunk that is on its way."""

    record: Record
    size: int
    place: str | None = None


@dataclass(slots=True)
class Sampled:
    """The records of one chunk that listeners will hear of, by index, once it is known where they went."""

    shard: str
    records: int
    find: Callable[[Any, int], str | None]
    listeners: list[tuple[Listener, Sequence[int]]] = field(default_factory=list)
    chosen: dict[int, _Chosen] = field(default_factory=dict)

    def goes(self, requests: Iterable[Any]) -> None:
        """The sink has made these for the chunk, or made some of its records into these once more."""
        for request in requests:
            for index, chosen in self.chosen.items():
                place = self.find(request, index)
                if place is not None:
                    chosen.place = place

    def tell(self, rejections: Sequence[Rejection], dead_letters: str) -> None:
        """The chunk is durable, these records of it as dead letters at that place."""
        rejected = {each.index: each for each in rejections if each.index in self.chosen}
        for listener, indices in self.listeners:
            samples = [_sample(self.chosen[index], rejected.get(index), dead_letters) for index in indices]
            listener.send(self.shard, self.records, samples)


class Taps:
    """The listeners of one shard. `find` is Sink.destination; `choose(n, k)` makes k numbers below n, each once."""

    def __init__(
        self,
        listeners: Listeners,
        *,
        shard: str,
        find: Callable[[Any, int], str | None],
        choose: Callable[[int, int], list[int]] = lambda n, k: random.sample(range(n), k),
    ) -> None:
        self._listeners = listeners
        self._shard = shard
        self._find = find
        self._choose = choose

    def sampled(self, chunk: Chunk) -> Sampled | None:
        """What is taken from a chunk whose records are still there; None where nobody listens."""
        listeners = self._listeners.of(self._shard)
        if not listeners:
            return None
        made = Sampled(self._shard, chunk.count, self._find)
        for listener in listeners:
            indices = sorted(self._choose(chunk.count, listener.wanted(chunk.count)))
            made.listeners.append((listener, indices))
            share = payload_share(len(indices)) if indices else 0
            for index in indices:
                made.chosen[index] = _Chosen(*chunk.records.beginning(index, share))
        return made


def _sample(chosen: _Chosen, rejection: Rejection | None, dead_letters: str) -> Sample:
    record = chosen.record
    place = chosen.place if rejection is None else dead_letters
    return Sample(
        sequence_number=_sendable(record.sequence_number),
        sub_sequence_number=record.sub_sequence_number,
        partition_key=_sendable(excerpt(record.partition_key, _KEY_CHARACTERS)),
        arrival_ms=record.arrival_ms,
        size=chosen.size,
        payload=record.data,
        outcome="dead_letter" if rejection else "delivered_before" if place is None else "delivered",
        place=place or "",
        reason=rejection.reason if rejection else "",
        detail=rejection.detail if rejection else "",
    )


def _sendable(text: str) -> str:
    """Half of a surrogate pair has no form in UTF-8."""
    return text.encode("utf-8", "replace").decode()
