"""How fast a process makes streams: Google takes 10,000 an hour in a region, and slows down above some 40 a second.

https://cloud.google.com/bigquery/quotas#write-api-limits and
https://cloud.google.com/bigquery/docs/write-api-best-practices
"""

import random
import threading
import time
from collections.abc import Callable

from consumer.sinks.bigquery.storage_write.answers import CallFailed

PAUSE_SECONDS = 0.25
"""Eight processes that start together stay below 40 a second."""
_LONGEST_PAUSE_SECONDS = 60.0
_REFUSED = "RESOURCE_EXHAUSTED"


class Pace:
    """One stream at a time, so that a server that slows down is asked less, and a pause from each to the next."""

    def __init__(
        self,
        *,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        """`random` gives a number in [0, 1): processes that start together do not ask at one moment."""
        self._sleep = sleep
        self._now = now
        self._making = threading.Lock()
        self._pause = PAUSE_SECONDS
        self._free_at = now() + random() * PAUSE_SECONDS

    def make(self, create: Callable[[], str]) -> str:
        """What `create` returns. Raises what it raises, CallFailed; once the server has refused, without asking it, for
        a pause that doubles: whoever waits for that must not hold up those who have a stream."""
        with self._making:
            wait = self._free_at - self._now()
            if wait > 0 and self._pause > PAUSE_SECONDS:
                raise CallFailed(code=_REFUSED, message=f"no stream is asked for within {wait:.0f} s")
            if wait > 0:
                self._sleep(wait)
            self._free_at = self._now() + PAUSE_SECONDS
            try:
                made = create()
            except CallFailed as failure:
                if failure.code == _REFUSED:
                    self._pause = min(_LONGEST_PAUSE_SECONDS, self._pause * 2)
                    self._free_at = self._now() + self._pause
                raise
            self._pause = PAUSE_SECONDS
            return made
