"""What has to be done in order is done in the order in which it was announced."""

from types import TracebackType
from typing import Any, Self

from gevent.event import Event


class Turn:
    """Entered once every turn of the same name that was announced before has been left."""

    def __init__(self, before: Any) -> None:
        self._before = before
        self.over: Any = Event()

    def __enter__(self) -> Self:
        """Blocks the calling greenlet."""
        if self._before is not None:
            self._before.wait()
            self._before = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()


class LaneOrder:
    """The last turn of each name."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def announce(self, name: str) -> Turn:
        before = self._last.get(name)
        turn = Turn(None if before is None or before.is_set() else before)
        self._last[name] = turn.over
        return turn
