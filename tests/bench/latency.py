"""How long records take from put to readable, from when they were put and how many were seen when."""

import math
from collections.abc import Iterator, Mapping, Sequence

type Moment = float
type Counts = Mapping[str, int]
"""Records by lane: the places of a backend (its tables) in which they can be counted apart."""
type Series = Sequence[tuple[Moment, Counts]]


def latencies(puts: Series, looks: Series, *, since: Moment, until: Moment) -> list[float]:
    """Seconds for each record that was put in a time and has been seen, in no order.

    `puts` says how many records went to each lane with each call, `looks` how many each lane held; both ascend. In a
    lane, the k-th record put is taken for seen with the first look that counts k. If one overtakes another the two
    are taken for each other: the sum stays right, the longer of their times gets too short.
    """
    lanes = {lane for _, counts in puts for lane in counts}
    return [
        seen_at - put_at
        for lane in lanes
        for put_at, seen_at in _matched(puts, looks, lane)
        if since <= put_at < until
    ]


def put_before(puts: Series, moment: Moment) -> dict[str, int]:
    """Records by lane."""
    totals: dict[str, int] = {}
    for put_at, counts in puts:
        if put_at < moment:
            for lane, count in counts.items():
                totals[lane] = totals.get(lane, 0) + count
    return totals


def holds(seen: Counts, wanted: Counts) -> bool:
    """Whether each lane has been seen to hold as much."""
    return all(seen.get(lane, 0) >= count for lane, count in wanted.items())


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed; there is one value at least."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def _matched(puts: Series, looks: Series, lane: str) -> Iterator[tuple[Moment, Moment]]:
    seen = iter(looks)
    seen_at, held = 0.0, 0
    number = 0
    for put_at, counts in puts:
        for _ in range(counts.get(lane, 0)):
            number += 1
            while held < number:
                look = next(seen, None)
                if look is None:
                    return
                seen_at, held = look[0], look[1].get(lane, 0)
            yield put_at, seen_at
