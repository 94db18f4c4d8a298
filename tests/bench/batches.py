"""Batches of numbered records in which new players keep turning up, as the KCL hands them over."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.inputs import Input, payload

FIRST_NUMBER = 10**11
"""Of the first record; each has the next one, so that a loss is seen where systems write a record twice."""

_SHAPES = 64


@dataclass(frozen=True, slots=True)
class Batch:
    text: bytes
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The records of an input, `size` at a time: those of a batch belong to `players` players, the first of whom the
    next batch knows no more, while it brings a new one."""

    input: Input
    size: int
    players: int

    def __iter__(self) -> Iterator[Batch]:
        shapes = [_Shape.of(index, self.input.record_bytes) for index in range(_SHAPES)]
        for place, first in enumerate(range(0, self.input.count, self.size)):
            number = min(self.size, self.input.count - first)
            players = [_player(place + each) for each in range(min(self.players, number))]
            records = ",".join(
                self._record(first + each, shapes[each % _SHAPES], players[each % len(players)])
                for each in range(number)
            )
            text = f'{{"action":"processRecords","millisBehindLatest":100000,"records":[{records}]}}\n'
            yield Batch(text.encode(), number)

    def _record(self, index: int, shape: "_Shape", player: bytes) -> str:
        data = base64.b64encode(shape.filled(player, FIRST_NUMBER + index)).decode()
        arrival_ms = 1_700_000_000_000 + index * 1000 // self.input.arrivals_per_second
        return (
            f'{{"action":"record","data":"{data}","partitionKey":"{player.decode()}",'
            f'"sequenceNumber":"49{index:054}","subSequenceNumber":0,'
            f'"approximateArrivalTimestamp":{arrival_ms}}}'
        )


@dataclass(frozen=True, slots=True)
class _Shape:
    """A payload without its player and its number."""

    before_player: bytes
    before_number: bytes
    rest: bytes

    @classmethod
    def of(cls, index: int, size: int) -> "_Shape":
        text = payload(index, size)
        before_player, mark, rest = text.partition(b'"player_id":"')
        before_number, number_mark, end = rest[32:].partition(b'"number":')
        return cls(before_player + mark, before_number + number_mark, end[12:])

    def filled(self, player: bytes, number: int) -> bytes:
        return b"%b%b%b%d%b" % (self.before_player, player, self.before_number, number, self.rest)


def _player(index: int) -> bytes:
    """An id of 32 hex digits; any 40 players in a row have nearly all first digits."""
    return b"%032x" % (index * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128)
