"""Rules: which requests go wrong, how often, how long and in which way.

A rule comes as JSON, for instance `{"service": "s3", "operation": "PutObject", "probability": 0.5,
"seconds": 10, "action": {"type": "answer", "status": 503, "code": "SlowDown"}}`.
"""

import random
import re
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

type Service = Literal["kinesis", "dynamodb", "s3", "bigquery"]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="answer"):
    """Answer with an error of the service, in its notation, and do nothing else.

    `code` is AWS's error code, for BigQuery the reason.
    """

    status: int
    code: str
    message: str = "injected fault"


class Reset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reset"):
    """Reset the connection before anything is done."""


class Delay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="delay"):
    """Do what was asked, but begin later: also when the client has given up by then."""

    seconds: float


class LoseAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lose_answer"):
    """Do what was asked and reset the connection instead of answering."""


class RefuseRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="refuse_rows"):
    """insertAll only: answer 200 with insertErrors for rows that are then not stored.

    Each row is refused with the probability `share`, one at least. With `stop_others`, or in a request without
    `skipInvalidRows`, no row is stored, and those not refused are reported as `stopped`; else they are stored.
    """

    reason: str = "backendError"
    share: float = 0.3
    stop_others: bool = False


type Action = Answer | Reset | Delay | LoseAnswer | RefuseRows


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request is hit when everything that is given matches, and then by chance.

    `path` is a regular expression searched in the path, `body` a text in the body. The rule ends after
    `count` hits, and `seconds` after it was set; without them it stays until it is lifted.
    """

    action: Action
    service: Service | None = None
    operation: str | None = None
    path: str | None = None
    body: str | None = None
    probability: float = 1.0
    count: int | None = None
    seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError("probability must be above 0 and at most 1")
        try:
            re.compile(self.path or "")
        except re.error as error:
            raise ValueError(f"path: {error}") from error


class Request(Protocol):
    """What rules look at. `body` may be asked for only where a rule needs it."""

    @property
    def service(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def path(self) -> str: ...


class _Active:
    """A rule that was set, with its own chance and its hits so far."""

    def __init__(self, rule: Rule, now: float) -> None:
        self.rule = rule
        self.chance = random.Random(rule.seed)
        self.hits = 0
        self._path = re.compile(rule.path) if rule.path else None
        self._until = None if rule.seconds is None else now + rule.seconds

    def may_hit(self, request: Request, now: float) -> bool:
        """All but the body and the chance."""
        rule = self.rule
        return (
            (self._until is None or now < self._until)
            and (rule.count is None or self.hits < rule.count)
            and rule.service in (None, request.service)
            and rule.operation in (None, request.operation)
            and (self._path is None or self._path.search(request.path) is not None)
        )

    def hit(self, body: bytes) -> bool:
        if self.rule.body is not None and self.rule.body.encode() not in body:
            return False
        if self.chance.random() >= self.rule.probability:
            return False
        self.hits += 1
        return True


class Hit(msgspec.Struct, frozen=True):
    """What to do with one request; `chance` belongs to the rule that hit it."""

    action: Action
    chance: random.Random


class Rules:
    """The rules in force, by name, asked in the order in which they were set. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._active: dict[str, _Active] = {}

    def __bool__(self) -> bool:
        return bool(self._active)

    def put(self, name: str, rule: Rule, now: float) -> None:
        """Set a rule; one of the same name starts anew."""
        self._active[name] = _Active(rule, now)

    def lift(self, name: str) -> int:
        """End a rule; returns its hits, 0 where there is none of the name."""
        active = self._active.pop(name, None)
        return 0 if active is None else active.hits

    def clear(self) -> None:
        self._active.clear()

    def hits(self) -> Mapping[str, int]:
        return {name: active.hits for name, active in self._active.items()}

    def candidates(self, request: Request, now: float) -> list[_Active]:
        """The rules that may hit a request, before its body is read."""
        return [active for active in list(self._active.values()) if active.may_hit(request, now)]


def first_hit(candidates: list[_Active], body: bytes) -> Hit | None:
    """The first rule of `candidates` that hits, or None."""
    for active in candidates:
        if active.hit(body):
            return Hit(active.rule.action, active.chance)
    return None
