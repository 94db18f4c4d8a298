"""How long a command repeats what fails."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from consumer.domain.errors import TransientError
from consumer.domain.retries import RetryPolicy

_GIVE_UP_SECONDS = 300.0
_POLICY = RetryPolicy(base_seconds=0.2, max_seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Repeats what failed for a reason that passes, for some minutes: then the command ends, to be started again."""

    policy: RetryPolicy = _POLICY
    sleep: Callable[[float], object] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    tell: Callable[[str], object] = lambda line: None

    def keep[T](self, call: Callable[[], T]) -> T:
        """What it returns; raises SetupError at once, and TransientError when it has lasted too long."""
        began, attempt = self.monotonic(), 0
        while True:
            try:
                return call()
            except TransientError as error:
                if self.monotonic() - began > _GIVE_UP_SECONDS:
                    raise
                if attempt == 3:
                    self.tell(f"repeating: {error}")
                self.sleep(self.policy.delay_seconds(error, attempt, random.random))
                attempt += 1


PATIENCE = Patience()
"""That says nothing."""
