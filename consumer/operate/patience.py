"""How long a command repeats what fails."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from consumer.daemon.prepare.preparation import NotReady, Unreachable
from consumer.domain.errors import Throttled, TransientError
from consumer.domain.retries import RetryPolicy

_GIVE_UP_SECONDS = 300.0
UNANSWERED_SECONDS = 15.0
_POLICY = RetryPolicy(base_seconds=0.2, max_seconds=20)


@dataclass(slots=True, kw_only=True)
class Patience:
    """Repeats what failed for a reason that passes, for some minutes: then the command ends, to be started again. What
    has never answered is asked for seconds only: a wrong address stays wrong, and nothing is half done yet."""

    policy: RetryPolicy = _POLICY
    sleep: Callable[[float], object] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    tell: Callable[[str], object] = lambda line: None
    was_answered: bool = False

    def keep[T](self, call: Callable[[], T]) -> T:
        """What it returns; raises SetupError at once, and TransientError when it has lasted too long."""
        began, attempt = self.monotonic(), 0
        while True:
            try:
                answer = call()
            except TransientError as error:
                self.was_answered = self.was_answered or isinstance(error, Throttled)
                limit = _GIVE_UP_SECONDS if self.was_answered else UNANSWERED_SECONDS
                if self.monotonic() - began > limit:
                    raise
                if attempt == 3:
                    self.tell(f"repeating: {error}")
                self.sleep(self.policy.delay_seconds(error, attempt, random.random))
                attempt += 1
            else:
                self.was_answered = True
                return answer


def patiently[T](patience: Patience, call: Callable[[], T]) -> T:
    """Repeats what raises NotReady; not where nothing answers at all. Raises Trouble, or TransientError where it has
    lasted too long."""

    def once() -> T:
        try:
            return call()
        except NotReady as trouble:
            if isinstance(trouble, Unreachable):
                raise
            raise TransientError(str(trouble)) from trouble

    return patience.keep(once)
