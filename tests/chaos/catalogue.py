"""The faults that a run draws from: what they are called, whom they hit, how long they last."""

from dataclasses import dataclass
from typing import Literal

from consumer.settings.table import Backend

type Group = Literal["requests", "process", "stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault. `seconds` are the shortest and the longest it lasts at scale 1.

    `requests` faults are rules of the embedded services. Of the faults of one `lane` one at a time hits a backend,
    or the stream; by default a lane has one kind. `settle_seconds` is what a fault gets before the next of its
    lane, which is less than a full recovery takes.
    """

    name: str
    group: Group
    targets: tuple[Backend | None, ...]
    seconds: tuple[float, float]
    lane: str = ""
    settle_seconds: float = 0.0
    open_shards: int = 0
    stops_reading: bool = False
    """Nobody can read meanwhile, which the workers have to tell."""
    hides_leases: bool = False
    """The lease table cannot be looked at meanwhile, which they tell as well."""


_BOTH: tuple[Backend, ...] = ("s3", "bigquery")


def _requests(name: str, *targets: Backend | None, seconds: tuple[float, float] = (6, 15)) -> Kind:
    return Kind(name=name, group="requests", targets=targets, seconds=seconds)


def _reading(name: str, *, hides_leases: bool = False) -> Kind:
    return Kind(
        name=name,
        group="requests",
        targets=(None,),
        seconds=(50, 70),
        lane="reading",
        settle_seconds=10,
        stops_reading=True,
        hides_leases=hides_leases,
    )


def _process(lane: str, name: str, seconds: tuple[float, float], settle_seconds: float) -> Kind:
    return Kind(
        name=name, group="process", targets=_BOTH, seconds=seconds, lane=lane, settle_seconds=settle_seconds
    )


def _reshard(name: str, open_shards: int) -> Kind:
    return Kind(
        name=name,
        group="stream",
        targets=(None,),
        seconds=(0, 0),
        lane="shards",
        settle_seconds=10,
        open_shards=open_shards,
    )


KINDS: tuple[Kind, ...] = (
    _requests("errors", *_BOTH),
    _requests("resets", *_BOTH),
    _requests("slow", *_BOTH),
    _requests("too_late", *_BOTH),
    _requests("answers_lost", *_BOTH),
    _requests("refused", *_BOTH, seconds=(8, 15)),
    _requests("down", *_BOTH, seconds=(10, 15)),
    _requests("rows_refused", "bigquery"),
    _requests("rows_stopped", "bigquery"),
    _requests("table_missing", "bigquery"),
    _requests("table_refuses", "bigquery"),
    _requests("rows_all_refused", "bigquery"),
    _requests("dead_letters_down", *_BOTH),
    _requests("checkpoints_throttled", *_BOTH),
    _requests("iterators_expired", None, seconds=(3, 8)),
    _requests("reads_failing", None),
    _requests("puts_unanswered", None),
    _reading("reads_denied"),
    _reading("key_denied"),
    _reading("leases_gone", hides_leases=True),
    _reading("aws_gone", hides_leases=True),
    _process("first worker", "kill_shard_process", (0, 0), 15),
    _process("first worker", "kill_jvm", (0, 0), 15),
    _process("first worker", "kill_supervisor", (0, 0), 15),
    _process("first worker", "kill_fork_server", (0, 0), 3),
    _process("first worker", "freeze_shard_process", (3, 8), 3),
    _process("first worker", "restart", (0, 3), 15),
    _process("second worker", "second_worker", (8, 15), 5),
    _process("second worker", "two_owners", (10, 14), 5),
    _reshard("split", +1),
    _reshard("merge", -1),
)
