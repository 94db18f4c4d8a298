"""Tables that a program creates itself: BigQuery knows a new one, and still answers "Not found" for a while."""

import threading
from collections.abc import Callable


class Tables:
    """Safe to call from several threads; `clock` tells seconds."""

    def __init__(self, *, new_seconds: float, clock: Callable[[], float]) -> None:
        """A table takes no rows until it is `new_seconds` old."""
        self._new_seconds = new_seconds
        self._clock = clock
        self._created_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def create(self, name: str) -> bool:
        """Whether there was none of that name."""
        with self._lock:
            if name in self._created_at:
                return False
            self._created_at[name] = self._clock()
            return True

    def takes_rows(self, name: str) -> bool:
        with self._lock:
            created_at = self._created_at.get(name)
        return created_at is not None and self._clock() - created_at >= self._new_seconds
