"""Values of record.time_field that hold no time: their records are filed under their arrival, and they are counted."""

from dataclasses import dataclass

from consumer.domain.excerpts import excerpt

COUNTER = "times_unread"
"""Among the counters of a shard's status."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Values of `record.time_field` that hold no time: how many, and one of them."""

    count: int
    example: str


class UnreadTimes:
    """Counts them until somebody asks."""

    def __init__(self) -> None:
        self._count = 0
        self._first: object = None

    def add(self, value: object) -> None:
        if not self._count:
            self._first = value
        self._count += 1

    def take(self) -> Unread | None:
        """Those since the last call; None where there were none."""
        if not self._count:
            return None
        unread = Unread(self._count, _shown(self._first))
        self._count, self._first = 0, None
        return unread


_SHOWN_CHARACTERS = 64


def _shown(value: object) -> str:
    """A value as a log may quote it: a text or a number, or any other JSON as bytes."""
    if isinstance(value, str):
        value = value[: 2 * _SHOWN_CHARACTERS]
    if isinstance(value, str | int | float):
        return excerpt(repr(value), _SHOWN_CHARACTERS)
    some = bytes(memoryview(value)[: 4 * _SHOWN_CHARACTERS])  # type: ignore[arg-type]
    return excerpt(some.decode("utf-8", "replace"), _SHOWN_CHARACTERS)
