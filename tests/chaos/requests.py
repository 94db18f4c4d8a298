"""The rules behind the faults that hit requests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from consumer.local.faults.rules import Action, Answer, Delay, LoseAnswer, RefuseRows, Reset, Rule, Service
from tests.chaos.plan import Planned

#: How long a fault waits for the first request that it can hit.
FIRST_HIT_SECONDS = 60.0

type Endpoint = Literal["aws", "bigquery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the backends write, and how long their clients wait for an answer."""

    bucket: str
    prefixes: dict[
        str, str
    ]  # of objects and of dead letters, by `s3`, `dead letters s3`, `dead letters bigquery`
    applications: dict[str, str]
    table_prefix: str
    bigquery_writes: str
    """The operation that writes rows: `insertAll` or `AppendRows`."""
    read_timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The requests that a rule is about."""

    service: Service
    operation: str | None = None
    path: str | None = None
    body: str | None = None

    @property
    def endpoint(self) -> Endpoint:
        return "bigquery" if self.service == "bigquery" else "aws"


@dataclass(frozen=True, slots=True)
class Part:
    """One rule of a fault: `probability` of `action` for the requests of `scope`."""

    scope: Scope
    probability: float
    action: Action


def rules_of(fault: Planned, places: Places) -> list[tuple[Endpoint, str, Rule]]:
    """The rules of a fault of the group `requests`, each with its endpoint and name."""
    return [
        (
            part.scope.endpoint,
            f"{fault.number}.{place}-{fault.kind.name}",
            Rule(
                action=part.action,
                service=part.scope.service,
                operation=part.scope.operation,
                path=part.scope.path,
                body=part.scope.body,
                probability=part.probability,
                seconds=fault.seconds + FIRST_HIT_SECONDS,
                seed=fault.number * 1000 + place,
            ),
        )
        for place, part in enumerate(_PARTS[fault.kind.name](fault, places))
    ]


def _writes(fault: Planned, places: Places) -> Scope:
    """What delivers records."""
    if fault.target == "bigquery":
        return Scope(service="bigquery", operation=places.bigquery_writes)
    return Scope(service="s3", operation="PutObject", path=f"^/{places.bucket}/{places.prefixes['s3']}")


def _everything(fault: Planned, places: Places) -> list[Scope]:
    """What delivers records, and what a start asks for beforehand."""
    if fault.target == "bigquery":
        return [Scope(service="bigquery", path=f"/tables/{places.table_prefix}")]
    return [_writes(fault, places), Scope(service="s3", operation="HeadBucket")]


def _one_in_two(action: Action) -> Callable[[Planned, Places], list[Part]]:
    return lambda fault, places: [Part(_writes(fault, places), 0.5, action)]


_ERRORS = {
    "s3": [
        (0.2, Answer(500, "InternalError")),
        (0.2, Answer(503, "SlowDown")),
        (0.2, Answer(503, "ServiceUnavailable")),
        (0.1, Answer(429, "TooManyRequestsException")),
    ],
    "bigquery": [
        (0.2, Answer(500, "internalError")),
        (0.2, Answer(503, "backendError")),
        (0.2, Answer(429, "rateLimitExceeded")),
        (0.2, Answer(403, "quotaExceeded")),
    ],
}
_REFUSALS = {
    "s3": [Answer(403, "AccessDenied"), Answer(400, "ExpiredToken"), Answer(403, "InvalidAccessKeyId")],
    "bigquery": [Answer(401, "authError"), Answer(403, "accessDenied")],
}


def _errors(fault: Planned, places: Places) -> list[Part]:
    scope = _writes(fault, places)
    return [Part(scope, share, answer) for share, answer in _ERRORS[fault.target or ""]]


def _refused(fault: Planned, places: Places) -> list[Part]:
    answers = _REFUSALS[fault.target or ""]
    answer = answers[int(fault.pick * len(answers))]
    return [Part(scope, 1.0, answer) for scope in _everything(fault, places)]


def _down(fault: Planned, places: Places) -> list[Part]:
    action = Reset() if fault.pick < 0.5 else Answer(503, "ServiceUnavailable")
    return [Part(scope, 1.0, action) for scope in _everything(fault, places)]


def _slow(fault: Planned, places: Places) -> list[Part]:
    return [Part(_writes(fault, places), 0.7, Delay(0.5 + 2 * fault.pick))]


def _too_late(fault: Planned, places: Places) -> list[Part]:
    return [Part(_writes(fault, places), 0.4, Delay(places.read_timeout_seconds + 2))]


def _table_missing(fault: Planned, places: Places) -> list[Part]:
    digits = "[0-7]" if fault.pick < 0.5 else "[8-f]"
    path = f"/tables/{places.table_prefix}_{digits}/"
    scope = Scope(service="bigquery", operation=places.bigquery_writes, path=path)
    return [Part(scope, 1.0, Answer(404, "notFound"))]


def _dead_letters_down(fault: Planned, places: Places) -> list[Part]:
    path = f"^/{places.bucket}/{places.prefixes[f'dead letters {fault.target}']}"
    scope = Scope(service="s3", operation="PutObject", path=path)
    return [Part(scope, 1.0, Answer(503, "SlowDown"))]


def _checkpoints_throttled(fault: Planned, places: Places) -> list[Part]:
    application = places.applications[fault.target or ""]
    # the closing quote keeps the tables apart that begin with the application's name
    scopes = [
        Scope(service="dynamodb", operation="UpdateItem", body=f'"{application}"'),
        Scope(service="dynamodb", operation="PutItem", body=f'"{application}-BigQueryStreams"'),
    ]
    return [Part(scope, 0.7, Answer(400, "ProvisionedThroughputExceededException")) for scope in scopes]


def _iterators_expired(fault: Planned, places: Places) -> list[Part]:
    scope = Scope(service="kinesis", operation="GetRecords")
    return [Part(scope, 0.3, Answer(400, "ExpiredIteratorException"))]


def _reads_failing(fault: Planned, places: Places) -> list[Part]:
    scope = Scope(service="kinesis", operation="GetRecords")
    return [
        Part(scope, 0.2, Answer(500, "InternalFailure")),
        Part(scope, 0.2, Answer(400, "ProvisionedThroughputExceededException")),
        Part(scope, 0.1, Reset()),
    ]


def _table_refuses(fault: Planned, places: Places) -> list[Part]:
    scope = Scope(service="bigquery", operation=places.bigquery_writes)
    return [Part(scope, 1.0, Answer(400, "invalid", "the Cloud KMS key of the table is disabled"))]


def _rows_all_refused(fault: Planned, places: Places) -> list[Part]:
    if places.bigquery_writes != "insertAll":
        return _table_refuses(fault, places)  # only insertAll can be told to refuse rows
    scope = Scope(service="bigquery", operation=places.bigquery_writes)
    return [Part(scope, 1.0, RefuseRows("invalid", share=1.0))]


_READS = ("GetRecords", "GetShardIterator")


def _reads(action: Action) -> list[Part]:
    return [Part(Scope(service="kinesis", operation=operation), 1.0, action) for operation in _READS]


def _leases_gone(fault: Planned, places: Places) -> list[Part]:
    # the closing quote keeps the tables apart that begin with the application's name
    scopes = [
        Scope(service="dynamodb", body=f'"{application}"') for application in places.applications.values()
    ]
    return [Part(scope, 1.0, Answer(400, "ResourceNotFoundException")) for scope in scopes]


def _aws_gone(fault: Planned, places: Places) -> list[Part]:
    objects = Scope(service="s3", operation="PutObject", path=f"^/{places.bucket}/")
    gone = [Scope(service="dynamodb"), objects]
    return [*_reads(Reset()), *(Part(scope, 1.0, Reset()) for scope in gone)]


def _puts_unanswered(fault: Planned, places: Places) -> list[Part]:
    scope = Scope(service="kinesis", operation="PutRecords")
    return [Part(scope, 0.2, LoseAnswer()), Part(scope, 0.2, Answer(500, "InternalFailure"))]


_PARTS: dict[str, Callable[[Planned, Places], list[Part]]] = {
    "errors": _errors,
    "resets": _one_in_two(Reset()),
    "slow": _slow,
    "too_late": _too_late,
    "answers_lost": _one_in_two(LoseAnswer()),
    "refused": _refused,
    "down": _down,
    "rows_refused": _one_in_two(RefuseRows("backendError")),
    "rows_stopped": _one_in_two(RefuseRows("timeout", share=0.05, stop_others=True)),
    "table_missing": _table_missing,
    "dead_letters_down": _dead_letters_down,
    "checkpoints_throttled": _checkpoints_throttled,
    "iterators_expired": _iterators_expired,
    "reads_failing": _reads_failing,
    "puts_unanswered": _puts_unanswered,
    "table_refuses": _table_refuses,
    "rows_all_refused": _rows_all_refused,
    "reads_denied": lambda fault, places: _reads(Answer(400, "AccessDeniedException")),
    "key_denied": lambda fault, places: _reads(Answer(400, "KMSAccessDeniedException")),
    "leases_gone": _leases_gone,
    "aws_gone": _aws_gone,
}
