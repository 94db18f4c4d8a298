"""What the services of a running stack have counted so far."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import urllib3

from consumer.local.bill.layer import CONTROL_PATH
from consumer.local.bill.meter import Counts
from consumer.local.stack import Stack

_SECONDS = 20.0


class BillError(Exception):
    """A service did not tell."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Of both services of a stack. Calls block; they raise BillError."""

    stack: Stack
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(timeout=_SECONDS, retries=urllib3.Retry(3)), repr=False
    )

    def counts(self) -> Counts:
        return self._ask("GET")

    def reset(self) -> None:
        """Begin anew."""
        self._ask("DELETE")

    def _ask(self, method: str) -> Counts:
        counts: Counts = {}
        for endpoint in (self.stack.aws_endpoint, self.stack.bigquery_endpoint):
            url = f"{endpoint}{CONTROL_PATH}"
            try:
                answer: Any = self._pool.request(method, url)
            except urllib3.exceptions.HTTPError as error:
                raise BillError(f"{url}: {error}") from error
            if answer.status != 200:
                raise BillError(f"{url}: {answer.status}")
            counts |= msgspec.json.decode(answer.data, type=dict[str, float])
        return counts
