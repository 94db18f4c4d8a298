"""What the daemon was told by its shard processes, the lease table, the JVM's log and whoever pauses it, and the status
that it makes of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from consumer.daemon.report.complaints import Complaints
from consumer.daemon.report.health import HealthPolicy, Phase, assess, hung_for, is_catching_up, shard_state
from consumer.daemon.report.health_log import HealthLog
from consumer.daemon.report.leases import Lease, Leases
from consumer.daemon.report.log import Log
from consumer.daemon.report.pause import Pause
from consumer.daemon.report.shards import ReportedShard, Shards
from consumer.daemon.report.status import Identity, ShardReport, Status
from consumer.daemon.report.tally import Tally
from consumer.domain.events import ENDED, RUNNING, Level, StatusEvent


class Observed:
    """Of one daemon, from its start. The supervisor sets the phase, and which JVM runs."""

    def __init__(
        self,
        *,
        health: HealthPolicy,
        identity: Identity,
        leases: Leases,
        log: Log,
        now: Callable[[], float],
    ) -> None:
        """`now` is in seconds since the epoch."""
        self._health = health
        self._identity = identity
        self._leases = leases
        self._now = now
        self._complaints = Complaints()
        self._health_log = HealthLog(log)
        self._shards = Shards(trend_seconds=health.undelivered_seconds)
        self._tally = Tally()
        self._faults: tuple[str, ...] = ()
        self._paused: Pause | None = None
        self._resumed_at: float | None = None
        self._started_at = self._without_shards_since = now()
        self._jvm_pid: int | None = None
        self.phase = Phase.PREPARING
        self.restarts = 0

    # What it is told

    def receive(self, event: StatusEvent) -> None:
        """Takes what a shard process reports."""
        self._tally.update(event)
        if event.state == ENDED:
            self._leases.ended(event.shard)
        shard = self._shards.update(event, self._now(), read_before=self._leases.read_at(event.shard))
        if shard.has_read:
            self._leases.read(event.shard, at=shard.last_callback_at())

    def saw_leases(self, leases: Sequence[Lease]) -> None:
        """Takes all rows of the lease table."""
        self._leases.seen(leases, now=self._now())
        self._shards.set_read_elsewhere(self._leases.read_elsewhere)

    def missed_leases(self, trouble: str, *, asked_at: float) -> None:
        """Takes why the lease table could not be read, which was tried at that time."""
        self._leases.failed(trouble, now=asked_at)

    def heard(self, level: Level, message: str) -> str | None:
        """Takes a line of the JVM's log; what of it is to be logged here, if anything."""
        return self._complaints.heard(level, message, now=self._now())

    def hold_for(self, faults: tuple[str, ...]) -> None:
        """The backend cannot be prepared until these are mended; none ends that. May be called from any thread."""
        self._faults = faults

    def pause(self, pause: Pause | None) -> None:
        """The application is paused by somebody, or goes on."""
        if pause is None and self._paused is not None:
            self._resumed_at = self._now()
        self._paused = pause

    def jvm_started(self, pid: int) -> None:
        self._jvm_pid = pid
        self._without_shards_since = self._now()

    def jvm_ended(self) -> None:
        self._jvm_pid = None
        self._shards.clear()

    def keep(self, owns: Callable[[int], bool]) -> None:
        """Forget the shard processes that have ended; `owns` says of a process whether a JVM that runs has it."""
        self._tally.keep(owns, now=self._now())
        if self._jvm_pid is not None:
            self._shards.keep(owns)
        if self._shards:
            self._without_shards_since = self._now()

    # What follows

    @property
    def events(self) -> Iterator[StatusEvent]:
        """The last one of each shard."""
        return (shard.event for shard in self._shards)

    def has_stopped(self) -> bool:
        """Whether no shard process takes records, as far as they have said so."""
        return all(event.state != RUNNING for event in self.events)

    def hung_for(self) -> float | None:
        """Seconds for which no shard process was called, None where that says nothing."""
        return hung_for(self._shards, now=self._now())

    def paused_without_lease(self, leases: Sequence[Lease]) -> Iterator[StatusEvent]:
        """Of processes whose callback waits for the end of a pause, so that they would not hear that their lease has
        gone to another worker; what they wait with is the other's to deliver."""
        if self._paused is None:
            return
        own = self._identity.worker_id
        owners = {lease.shard: lease.owner for lease in leases}
        yield from (event for event in self.events if owners.get(event.shard, own) not in (None, own))

    def tell_health(self, status: Status) -> None:
        """To the log, while the JVM runs: what hinders the other phases is told where it happens."""
        if self.phase is Phase.RUNNING:
            self._health_log.tell(status.health, now=status.updated_at)

    def status(self) -> Status:
        now = self._now()
        self._leases.reads(self._shards.names())
        return Status(
            identity=self._identity,
            health=assess(
                phase=self.phase,
                shards=self._shards,
                policy=self._health,
                now=now,
                began_at=self._started_at,
                faults=self._faults,
                unread=self._unread(now),
                unread_shards=self._leases.unread(now=now, limit_seconds=self._health.unread_seconds),
                kcl_error=self._complaints.last(now=now),
                throttled=self._complaints.throttled(now=now),
                paused=None if self._paused is None else str(self._paused),
                resting=self._is_resting(now),
            ),
            kcl_errors=self._complaints.errors,
            last_kcl_error=self._complaints.last_error,
            updated_at=now,
            started_at=self._started_at,
            jvm_pid=self._jvm_pid,
            restarts=self.restarts,
            totals=self._tally.totals(),
            paused=self._paused,
            shards=tuple(self._reported(shard, now) for shard in self._shards),
        )

    def _reported(self, shard: ReportedShard, now: float) -> ShardReport:
        return ShardReport.of(
            shard,
            now=now,
            catching_up=is_catching_up(shard, self._health, now),
            condition=shard_state(shard, self._health, now),
        )

    def _unread(self, now: float) -> Iterator[str]:
        """What says that shards have no reader."""
        limit = self._health.unread_seconds
        yield from self._leases.faults(now=now, limit_seconds=limit)
        without = now - self._without_shards_since
        if not self._shards and without > limit and self._complaints.last(now=now) is not None:
            yield f"no shard has been opened for {without:.0f} s, and the KCL logs errors"

    def _is_resting(self, now: float) -> bool:
        """Paused, or resumed so lately that what came meanwhile cannot be delivered yet."""
        if self._paused is not None:
            return True
        return self._resumed_at is not None and now - self._resumed_at <= self._health.undelivered_seconds
