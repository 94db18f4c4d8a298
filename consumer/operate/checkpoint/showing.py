"""`checkpoint BACKEND show`: reads what `status` reads of the lease table and of the stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from consumer.daemon.prepare.distances import Distance, distance_reader
from consumer.daemon.prepare.lease_table import lease_reader
from consumer.daemon.report.leases import Lease
from consumer.operate.action import Action
from consumer.operate.checkpoint.effects import time_of
from consumer.operate.checkpoint.places import Place
from consumer.operate.errors import Refused
from consumer.operate.progress import duration

_HEADS = ("shard", "owner", "next record of", "behind", "checkpoint")


def show(action: Action) -> int:
    leases = sorted(lease_reader(action.settings)(), key=lambda lease: lease.shard)
    chosen = action.options.shards or [lease.shard for lease in leases]
    unknown = set(chosen) - {lease.shard for lease in leases}
    if unknown:
        raise Refused(f"{action.application} has no lease of {', '.join(sorted(unknown))}")
    leases = [lease for lease in leases if lease.shard in chosen]
    distances = distance_reader(action.settings)(leases)
    if action.options.json:
        for lease in leases:
            print(json.dumps(_object(lease, distances.get(lease.shard))))
    elif leases:
        print("\n".join(_table([_cells(lease, distances.get(lease.shard)) for lease in leases])))
    else:
        print(f"{action.application} has no leases yet")
    return 0


def _object(lease: Lease, distance: Distance | None) -> dict[str, Any]:
    arrived = None if distance is None else distance.next_arrived_at
    return {
        "shard": lease.shard,
        "owner": lease.owner,
        "checkpoint": lease.checkpoint,
        "sub_sequence": lease.sub_sequence,
        "next_record_at": None if arrived is None else time_of(arrived),
        "behind_latest_seconds": None if distance is None else distance.behind_latest_seconds,
        "trouble": None if distance is None else distance.fault,
    }


def _cells(lease: Lease, distance: Distance | None) -> tuple[str, ...]:
    place = "none yet" if lease.checkpoint is None else str(Place(lease.checkpoint, lease.sub_sequence))
    if distance is None:
        return lease.shard, lease.owner or "", "ended", "", place
    if distance.fault is not None:
        return lease.shard, lease.owner or "", distance.fault, "", place
    arrived, behind = distance.next_arrived_at, distance.behind_latest_seconds
    time = "none yet" if arrived is None else time_of(arrived)
    return lease.shard, lease.owner or "", time, "" if behind is None else duration(behind), place


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
    for row in (_HEADS, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
