"""Errors by what the caller can do about them.

DeliveryError                  nothing was lost: the request can be repeated
├── TransientError             repeat with backoff: outage, a broken connection, an ambiguous answer
│   └── Throttled              the same, and send less at once to whatever shares the quota
├── SetupError                 repeat slowly and call for help: a missing permission, bucket or table
└── RequestRefused             repeating the same request is useless: make it smaller until a single record is left
Superseded                     another process owns the shard: end, without a checkpoint
ProtocolError                  the MultiLang conversation cannot go on: end the process
"""

from consumer.domain.excerpts import excerpt

MESSAGE_CHARACTERS = 1000
"""Of what an error says, in which a service is quoted: it stands in log lines and in the status."""


class DeliveryError(Exception):
    """A request that did not become durable, or not certainly. A long message is cut."""

    def __init__(self, message: str) -> None:
        super().__init__(excerpt(message, MESSAGE_CHARACTERS))


class TransientError(DeliveryError):
    """Waiting cures it."""


class Throttled(TransientError):
    """The backend works, and takes less than it is given."""


class SetupError(DeliveryError):
    """Somebody has to mend something; `setting` names the property to look at first."""

    def __init__(self, message: str, *, setting: str) -> None:
        see = f" (see {setting})"
        super().__init__(excerpt(message, MESSAGE_CHARACTERS - len(see)) + see)
        self.setting = setting


class RequestRefused(DeliveryError):
    """The backend will never take this request as it stands."""


class Superseded(Exception):
    """Another process has taken the shard over; nothing that this one does for it counts any more."""


class ProtocolError(Exception):
    """A message that this protocol does not know, or an answer out of turn."""
