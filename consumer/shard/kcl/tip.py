"""Since when a shard is known to hold nothing that this process has not been given.

`millisBehindLatest == 0` holds for the moment of the fetch, which no message names. But the KCL fetches a bounded
number of messages ahead of the process, in order: a message was fetched after the one so many places before it was
answered, however long either side has been busy, starved or stopped since.
"""

import time
from collections import deque
from collections.abc import Callable

POLLED_AHEAD = 6
"""PrefetchRecordsPublisher of KCL 3.1.3: while a callback runs, three messages wait in its queue
(maxPendingProcessRecordsInput, which MultiLang cannot set) and one to be queued, so the fifth is fetched after the
answer. One more for good measure."""

PUSHED_AHEAD = 13
"""FanOutRecordsPublisher queues a burst of 10 and the end of a subscription; the rest as above."""


def fetched_ahead(retrieval_mode: str | None) -> int:
    """How many messages after an answer the first one comes that was fetched after it."""
    return POLLED_AHEAD if retrieval_mode == "POLLING" else PUSHED_AHEAD


class Tip:
    """Remembers when the last `ahead` messages were answered. `now` is the wall clock in seconds, against which
    arrival times are held."""

    def __init__(self, ahead: int, *, now: Callable[[], float] = time.time) -> None:
        self._answers: deque[int] = deque(maxlen=ahead)
        self._now = now

    def answered(self) -> None:
        """A callback with records, or with an empty list of them, is about to be answered."""
        self._answers.append(int(self._now() * 1000))

    def seen_ms(self, millis_behind_latest: int | None) -> int | None:
        """What a message proves: the shard held nothing beyond it at this time. None where it proves nothing."""
        if millis_behind_latest != 0 or len(self._answers) < (self._answers.maxlen or 0):
            return None
        return self._answers[0]
