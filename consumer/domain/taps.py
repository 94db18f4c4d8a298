"""What a tap asks of shard processes, and what they send it: samples of the records that they deliver.

A tap leaves a request and a datagram socket in the state directory, in the folder TAPS_FOLDER (names.py): `<name>.json`
and `<name>.socket`. Shard processes look there once a second. They send and forget, as with events: what a tap does not
take in time is lost, and delivery waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

type Outcome = Literal["delivered", "dead_letter", "delivered_before"]
"""`delivered_before`: the record was read again, and is durable since."""

REQUEST_SUFFIX = ".json"
SOCKET_SUFFIX = ".socket"

MOST_TAPS = 8
"""That shard processes look for at once."""

MOST_RECORDS = 10
"""In a datagram, which holds those of one chunk."""

MOST_RATE = 100.0
"""Records a second."""

MAX_PAYLOAD_BYTES = 8 * 1024
_PAYLOADS_BYTES = 32 * 1024

MAX_DATAGRAM_BYTES = 160 * 1024
"""No datagram is longer. Linux refuses those above the send buffer (208 KiB by default)."""


class TapRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`rate` is in records a second of each shard process; it holds until a time in milliseconds since the epoch,
    unless it is renewed. No `shards` means all."""

    rate: float
    until_ms: int
    shards: list[str] = []

    def wants(self, shard: str) -> bool:
        return not self.shards or shard in self.shards


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One record and where it went: `place` is an object (s3://…) or a table, for a dead letter the object that holds
    it. `payload` may be the beginning only; `size` is how many bytes it has."""

    sequence_number: str
    sub_sequence_number: int
    partition_key: str
    arrival_ms: int
    size: int
    payload: bytes
    outcome: Outcome
    place: str = ""
    reason: str = ""
    detail: str = ""


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """Of one chunk; `passed` is how many records were delivered or buried since the last datagram that was sent."""

    shard: str
    passed: int
    samples: list[Sample]


encode_request = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(TapRequest).decode
encode_samples = msgspec.json.Encoder().encode
decode_samples = msgspec.json.Decoder(Samples).decode


def payload_share(records: int) -> int:
    """Bytes of each payload, where so many share a datagram."""
    return min(MAX_PAYLOAD_BYTES, _PAYLOADS_BYTES // records)


class Allowance:
    """So many a second, and no more than a second's worth at once, but always one. `now` is in seconds."""

    def __init__(self, rate: float, now: Callable[[], float]) -> None:
        self._rate = rate
        self._now = now
        self._most = max(1.0, rate)
        self._left = self._most
        self._at = now()

    def take(self, most: int) -> int:
        """How many of `most` there may be."""
        now = self._now()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        taken = min(most, int(self._left))
        self._left -= taken
        return taken
