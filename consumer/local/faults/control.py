"""Sets and lifts rules on a running embedded service."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import urllib3

from consumer.local.faults.layer import CONTROL_PATH
from consumer.local.faults.rules import Rule

_SECONDS = 20.0


class ControlError(Exception):
    """The service did not take the rule."""


@dataclass(frozen=True, slots=True)
class FaultControl:
    """The rules of one service at `endpoint`. Calls block; they raise ControlError."""

    endpoint: str
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(timeout=_SECONDS, retries=urllib3.Retry(3)), repr=False
    )

    def put(self, name: str, rule: Rule) -> None:
        """Set a rule, from now on."""
        self._ask("PUT", name, msgspec.json.encode(rule))

    def lift(self, name: str) -> int:
        """End a rule; returns how many requests it has hit."""
        return int(self._ask("DELETE", name)["hits"])

    def clear(self) -> None:
        self._ask("DELETE", "")

    def hits(self) -> dict[str, int]:
        """Hits so far of every rule in force."""
        return {name: int(hits) for name, hits in self._ask("GET", "").items()}

    def _ask(self, method: str, name: str, body: bytes | None = None) -> dict[str, Any]:
        url = f"{self.endpoint}{CONTROL_PATH}/{name}".rstrip("/")
        try:
            answer = self._pool.request(method, url, body=body)
        except urllib3.exceptions.HTTPError as error:
            raise ControlError(f"{url}: {error}") from error
        if answer.status != 200:
            raise ControlError(f"{url}: {answer.status} {answer.data.decode(errors='replace')}")
        content: dict[str, Any] = msgspec.json.decode(answer.data)
        return content
