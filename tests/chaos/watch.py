"""Looks at both backends from time to time, and remembers how much they held when."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError
from google.api_core.exceptions import GoogleAPIError

from consumer.local.backends import BACKENDS
from consumer.settings.table import Backend
from tests.chaos.holdings import Holdings

_POLL_SECONDS = 1.5
#: What was on its way when a process was killed may arrive within this time.
_ON_ITS_WAY_SECONDS = 3.0

type Sample = tuple[float, int]  # monotonic seconds, records


class Watch:
    """A series of counts for each backend."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._samples: dict[Backend, list[Sample]] = {backend: [] for backend in BACKENDS}

    def latest(self, backend: Backend) -> int:
        samples = self._samples[backend]
        return samples[-1][1] if samples else 0

    def samples(self, backend: Backend, *, since: float, until: float) -> list[Sample]:
        return [sample for sample in self._samples[backend] if since <= sample[0] <= until]

    async def follow(self) -> None:
        """Look about once a second, less often where a look takes long; until cancelled."""
        async with asyncio.TaskGroup() as group:
            for backend in BACKENDS:
                group.create_task(self._follow(backend))

    async def _follow(self, backend: Backend) -> None:
        while True:
            began = time.monotonic()
            # a look is worth nothing that the next one would not bring
            with contextlib.suppress(BotoCoreError, ClientError, GoogleAPIError, OSError):
                count = await asyncio.to_thread(self._holdings.count, backend)
                self._samples[backend].append((time.monotonic(), count))
            await asyncio.sleep(max(_POLL_SECONDS, time.monotonic() - began))

    def next_delivery(self, backend: Backend, moment: float) -> float | None:
        """Seconds from a moment to the next look that found more than the last one before it."""
        return next_delivery(self._samples[backend], moment)

    def recoveries(self, backend: Backend, killed_at: Sequence[float]) -> list[float]:
        """Seconds from each kill to the next delivery that a new process made."""
        return [
            found
            for moment in killed_at
            if (found := recovery_seconds(self._samples[backend], moment)) is not None
        ]


def next_delivery(samples: Sequence[Sample], moment: float) -> float | None:
    """From a moment to the first later sample that holds more; None where there is none."""
    before = [count for at, count in samples if at <= moment]
    base = before[-1] if before else 0
    return next((at - moment for at, count in samples if at > moment and count > base), None)


def recovery_seconds(samples: Sequence[Sample], killed_at: float) -> float | None:
    """From a kill to the first sample that holds more than was on its way then; None where there is none."""
    seconds = next_delivery(samples, killed_at + _ON_ITS_WAY_SECONDS)
    return None if seconds is None else seconds + _ON_ITS_WAY_SECONDS
