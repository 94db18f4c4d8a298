"""Tells the log when the daemon becomes ill, of each further reason, and when it is well again."""

from __future__ import annotations

from consumer.daemon.report.complaints import kind_of
from consumer.daemon.report.health import KCL_ERROR, TRYING, Health
from consumer.daemon.report.log import Log


class HealthLog:
    """Each reason is told once for as long as the daemon is ill."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told: set[str] = set()
        self._since: float | None = None

    def tell(self, health: Health, *, now: float) -> None:
        """`now` is in seconds since the epoch."""
        if health.healthy:
            if self._since is not None:
                ill_seconds = round(now - self._since)
                self._log.info(
                    f"healthy again after {ill_seconds} s", event="health_well", seconds=ill_seconds
                )
            self._since = None
            self._told.clear()
            return
        if self._since is None:
            self._since = now
        new = [reason for reason in health.reasons if _kind_of(reason) not in self._told]
        self._told.update(map(_kind_of, new))
        if not all(reason.startswith(KCL_ERROR) for reason in new):  # its errors have lines of their own
            reasons = "; ".join(new)
            self._log.error(f"unhealthy: {reasons}", event="health_ill", reasons=reasons, state=health.state)


def _kind_of(reason: str) -> str:
    """Durations, identifiers and what is tried again change from look to look; the shard before the colon makes a
    reason of its own."""
    what, colon, why = reason.partition(TRYING)[0].partition(": ")
    return f"{what}{colon}{kind_of(why)}" if colon else kind_of(what)
