"""Tells of dead letters: the first of each reason at once, then how many there were, once a minute while more come."""

from collections import Counter
from collections.abc import Callable, Sequence

from consumer.domain.chunks import Chunk
from consumer.domain.dead_letters import Rejection

_SECONDS = 60.0


class DeadLetterLog:
    """Of one shard. `recent` is what the last minute brought, None where it brought none."""

    def __init__(self, warn: Callable[[str], None], *, now: Callable[[], float]) -> None:
        """`now` is in seconds and only grows."""
        self._warn = warn
        self._now = now
        self._since: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self._last = ""
        self._told_at = now()
        self.recent: str | None = None

    def add(self, chunk: Chunk, rejections: Sequence[Rejection]) -> None:
        """They are to be written, or have been."""
        for rejection in rejections:
            if not self._since:
                self._told_at = self._now()
            self._since[rejection.reason] += 1
            self._total[rejection.reason] += 1
            first = self._total[rejection.reason] == 1
            if first or rejection is rejections[-1]:
                position = chunk.records[rejection.index].position
                self._last = f"record {position}: {rejection.reason}: {rejection.detail}"
            if first:
                self._warn(f"the first dead letter for this reason: {self._last}")
        self.recent = f"{_by_reason(self._since)} in the last minute; the last: {self._last}"

    def tick(self) -> None:
        """To be called every second or so."""
        passed = self._now() - self._told_at
        if passed < _SECONDS or self.recent is None:
            return
        if self._since:
            total = self._total.total()
            counts = f"{_by_reason(self._since)} within {passed:.0f} s, {total} since the start"
            self._warn(f"{counts}; the last: {self._last}")
        else:
            self.recent = None
        self._since.clear()
        self._told_at = self._now()


def _by_reason(counts: Counter[str]) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    return f"{counts.total()} dead letters ({reasons})"
