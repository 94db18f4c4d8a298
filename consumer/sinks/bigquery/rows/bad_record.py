"""Why a record makes no row."""

from consumer.domain.dead_letters import Reason


class BadRecord(ValueError):
    """The record makes no row, whatever stands beside it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
