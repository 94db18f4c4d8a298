"""How long to wait before a request is repeated. Decides; never sleeps, never gives up (I6)."""

from collections.abc import Callable
from dataclasses import dataclass

from consumer.domain.errors import DeliveryError, SetupError

SETUP_SLOWDOWN = 10
"""A missing permission or table is cured by a person: ask less often than during an outage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter: uniform between 0 and min(max, base · 2^attempt)."""

    base_seconds: float
    max_seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.base_seconds <= self.max_seconds:
            raise ValueError("retry.base must be positive and not above retry.max")

    def delay_seconds(self, error: DeliveryError, attempt: int, random: Callable[[], float]) -> float:
        """Wait before repetition number `attempt` (0 for the first); `random` gives a number in [0, 1)."""
        base = self.base_seconds * (SETUP_SLOWDOWN if isinstance(error, SetupError) else 1)
        ceiling: float = min(self.max_seconds, base * 2 ** min(attempt, 32))
        return random() * ceiling
