"""How far both applications have come: only what both have passed can be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consumer.daemon.prepare.distances import Distance, distance_reader
from consumer.daemon.prepare.lease_table import lease_reader
from consumer.daemon.report.leases import Lease
from consumer.operate.errors import Refused
from consumer.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Every record that arrived before `passed_ms` is behind the checkpoints of both, so it is delivered or a dead
    letter. `nothing_left` tells that the stream holds no other; `checkpoints` are by application and shard."""

    passed_ms: int
    nothing_left: bool
    slowest: str
    """Whose checkpoint that is."""
    checkpoints: frozenset[tuple[str, str, str | None]]


type ReadLeases = Callable[[], Sequence[Lease]]
type ReadDistances = Callable[[Sequence[Lease]], dict[str, Distance]]


class Course:
    """The checkpoints of some applications of one stream."""

    def __init__(
        self,
        every: Sequence[Settings],
        *,
        leases_of: Callable[[Settings], ReadLeases] = lease_reader,
        distances_of: Callable[[Settings], ReadDistances] = distance_reader,
    ) -> None:
        self._readers = [(settings, leases_of(settings), distances_of(settings)) for settings in every]

    def reached(self, now_ms: int) -> Reached:
        """Asks Kinesis for the first record past each checkpoint. Raises Trouble, or Refused where an application has
        no checkpoints or cannot be told how far it has come."""
        passed: list[tuple[int, str]] = []
        checkpoints: set[tuple[str, str, str | None]] = set()
        nothing_left = True
        for settings, read_leases, read_distances in self._readers:
            name = settings.text("applicationName")
            leases = read_leases()
            if not leases:
                raise Refused(f"applicationName {name} has no checkpoints: its lease table is empty")
            checkpoints.update((name, lease.shard, lease.checkpoint) for lease in leases)
            grace_ms = round(settings.seconds("chunk.grace") * 1000)
            for shard, distance in read_distances(leases).items():
                at_ms = _passed(distance, now_ms, grace_ms, f"{name} {shard}")
                nothing_left = nothing_left and at_ms is None
                passed.append((now_ms if at_ms is None else at_ms, f"{name} {shard}"))
        passed_ms, slowest = min(passed, default=(now_ms, ""))
        return Reached(
            passed_ms=passed_ms,
            nothing_left=nothing_left,
            slowest=slowest,
            checkpoints=frozenset(checkpoints),
        )


def _passed(distance: Distance, now_ms: int, grace_ms: int, who: str) -> int | None:
    """The arrival before which all is passed; None where nothing is left. Arrival times are not monotone, by less than
    the grace."""
    if distance.next_arrived_at is not None:
        return round(distance.next_arrived_at * 1000) - grace_ms
    if distance.behind_latest_seconds:
        return now_ms - round(distance.behind_latest_seconds * 1000) - grace_ms
    if distance.fault is not None:
        raise Refused(f"it cannot be told how far {who} has come: {distance.fault}")
    return None
