"""What the feed has put: enough to recognise every record again, in a few bytes a record."""

import enum
import random
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

from consumer.local.generate import Logs
from consumer.local.verify import canonical
from consumer.settings.table import Backend
from tests.hostile.kinds import DELIVERED, SMALL_BYTES, Kind, Shape

_NUMBER = re.compile(rb'(?:"log_id":\s*"|broken )[0-9a-f]+-(\d{10})')
_ODD_SHARE = 0.005
#: Few tables get rows: every insert costs the embedded BigQuery far more than it costs Google.
_PLAYERS = 5
_LINE_ENDS = b"\r\n"


class Sort(enum.IntEnum):
    """What a record is, and with it where it belongs."""

    LOG = 0
    WITHOUT_KEY = 1  # JSON without player_id: S3 takes it, no table does
    BROKEN = 2  # not JSON
    HOSTILE = 3  # its kind says more

    def deliverable(self, backend: Backend) -> bool:
        """Of all sorts but the hostile one."""
        return self is Sort.LOG or (self is Sort.WITHOUT_KEY and backend == "s3")


@dataclass(frozen=True, slots=True)
class Fed:
    """A record to put; its number is also inside. `kind` is that of a hostile one."""

    number: int
    log_id: str
    sort: Sort
    data: bytes
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class _Hostile:
    kind: Kind
    size_bytes: int

    @property
    def label(self) -> str:
        """What the daemon has to judge alike."""
        is_small = self.size_bytes <= max(SMALL_BYTES, self.kind.least_bytes) * 1.1
        return self.kind.name if is_small else f"{self.kind.name}, large"

    def may(self, backend: Backend) -> frozenset[str]:
        return self.kind.outcomes(Shape(backend=backend), self.size_bytes)


def records(seed: int) -> Iterator[Fed]:
    """Endless, the same for the same seed; one in a few hundred is of an odd sort."""
    chance = random.Random(seed)
    logs = Logs(count=10**10, seed=seed, base_time=datetime(2024, 1, 1, tzinfo=UTC), players=_PLAYERS)
    for number, line in enumerate(logs.lines()):
        log_id = f"{seed:x}-{number:010d}"
        draw = chance.random()
        if draw < _ODD_SHARE / 2:
            yield Fed(number, log_id, Sort.BROKEN, f"broken {log_id}: not JSON".encode())
        elif draw < _ODD_SHARE:
            yield Fed(number, log_id, Sort.WITHOUT_KEY, f'{{"log_id":"{log_id}","event":"odd"}}'.encode())
        else:
            yield Fed(number, log_id, Sort.LOG, line)


class Journal:
    """Attempts and acknowledgements, in the order of the records' numbers."""

    def __init__(self) -> None:
        self._bytes = array("Q")
        self._values = array("Q")
        self._sorts = bytearray()
        self._acknowledged = bytearray()
        self._hostile: dict[int, _Hostile] = {}
        self._hostile_numbers: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def acknowledged(self) -> int:
        return sum(self._acknowledged)

    def expected(self, backend: Backend) -> int:
        """Acknowledged records that surely do not belong among the dead letters of a backend."""
        return sum(
            self._is_surely_delivered(number, backend)
            for number, acknowledged in enumerate(self._acknowledged)
            if acknowledged
        )

    def attempt(self, fed: Fed) -> None:
        """Before the put. Numbers come without a gap."""
        assert fed.number == len(self)
        self._bytes.append(_digest(fed.data))
        self._values.append(_digest(canonical(fed.data)))
        self._sorts.append(fed.sort)
        self._acknowledged.append(0)
        if fed.kind is not None:
            self._hostile[fed.number] = _Hostile(fed.kind, len(fed.data))
            self._hostile_numbers[_flat_digest(fed.data)] = fed.number

    def acknowledge(self, number: int) -> None:
        """The stream has said that it holds the record."""
        self._acknowledged[number] = 1

    def is_acknowledged(self, number: int) -> bool:
        return bool(self._acknowledged[number])

    def may_become(self, number: int, backend: Backend, outcome: str) -> bool:
        """Whether a record may end so: as DELIVERED, or among the dead letters with this reason."""
        if number in self._hostile:
            return outcome in self._hostile[number].may(backend)
        return Sort(self._sorts[number]).deliverable(backend) is (outcome == DELIVERED)

    def label(self, number: int) -> str | None:
        """The same for hostile records that have to end in the same way; None for all others."""
        hostile = self._hostile.get(number)
        return None if hostile is None else hostile.label

    def number_of(self, record: bytes) -> int | None:
        """Which attempt a record is, if it is one of them, whole and unchanged; line ends between its tokens may be
        missing from a hostile one."""
        found = _NUMBER.search(record)
        number = int(found[1]) if found else len(self)
        if number < len(self) and (
            self._bytes[number] == _digest(record) or self._values[number] == _digest(canonical(record))
        ):
            return number
        return self._hostile_numbers.get(_flat_digest(record))

    def _is_surely_delivered(self, number: int, backend: Backend) -> bool:
        if number in self._hostile:
            return self._hostile[number].may(backend) == {DELIVERED}
        return Sort(self._sorts[number]).deliverable(backend)


def _flat_digest(data: bytes) -> int:
    return _digest(data.translate(None, _LINE_ENDS))


def _digest(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest())
