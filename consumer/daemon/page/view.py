"""What the page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.daemon.page.history import History, Limits
from consumer.daemon.page.told import Told


@dataclass(frozen=True, slots=True)
class Peer:
    """Another application on this host, what it has said last, and its http.port."""

    application: str
    told: Told
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that the page is made of."""

    told: Told
    history: History
    limits: Limits
    peers: Sequence[Peer]
    runbook_url: str | None
    dead_letters_in: str
