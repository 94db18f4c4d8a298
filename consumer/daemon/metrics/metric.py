"""What a metric is, and what it is read off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from consumer.daemon.report.status import Status

type Kind = Literal["gauge", "counter", "histogram"]

COMMON_LABELS = ("application", "backend")
SHARD = "shard"


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's value: counts by bucket of `consumer.domain.latency`, each alone, and the sum of what was
    counted."""

    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One series: the values of its metric's labels, and its own. A counter began at zero at `since`, in seconds since
    the epoch; None stands for the daemon's start."""

    labels: tuple[str, ...]
    value: float | Buckets
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What metrics are read off. `memory` is resident bytes by kind of process."""

    status: Status
    version: str
    method: str
    memory: Mapping[str, int] = field(default_factory=dict)
    failed_pushes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric[Source = Snapshot]:
    """One row. `labels` are those beside the common ones; `source` says who counts or measures it."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    source: str
    read: Callable[[Source], Iterable[Sample]]
    labels: tuple[str, ...] = ()

    @property
    def of_shard(self) -> bool:
        """Whether it has a series for each shard."""
        return SHARD in self.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What some metrics say at a moment, `at`, and of whom: what all three forms are made of. Times are in seconds
    since the epoch; counters began at `since`."""

    application: str
    backend: str
    worker_id: str
    version: str
    at: float
    since: float
    series: Sequence[tuple[Metric[Any], Sequence[Sample]]]
