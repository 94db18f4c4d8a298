"""Dead letters in groups: by reason, hour of arrival, and shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from consumer.operate.dead_letters.letters import Letter
from consumer.operate.dead_letters.rendering import Renderer

_SAMPLE = 120
"""Characters of a payload."""

type GroupKey = tuple[str, str, str]


@dataclass(slots=True)
class Group:
    """`bytes` are those of the payloads; `sample` is the beginning of one of them."""

    reason: str
    hour: str
    shard: str
    count: int
    bytes: int
    sample_position: str
    sample: str


def grouped(letters: Iterable[Letter], renderer: Renderer) -> list[Group]:
    """In memory is one group for each reason, hour and shard, whatever number of letters there is."""
    groups: dict[GroupKey, Group] = {}
    for letter in letters:
        key = (letter.current_reason, f"{letter.arrived_at[:13]}:00Z", letter.shard)
        group = groups.get(key)
        if group is None:
            groups[key] = Group(
                *key,
                1,
                len(letter.payload),
                str(letter.position),
                renderer.payloads.line(letter.payload, _SAMPLE),
            )
            continue
        group.count += 1
        group.bytes += len(letter.payload)
    return [groups[key] for key in sorted(groups)]


def table(groups: list[Group]) -> Iterator[str]:
    """Lines for people."""
    yield f"{'reason':20} {'hour':17} {'shard':22} {'records':>9} {'bytes':>13}  sample"
    for group in groups:
        yield (
            f"{group.reason:20} {group.hour:17} {group.shard:22} {group.count:>9,} {group.bytes:>13,}"
            f"  {group.sample_position}: {group.sample}"
        )
    count, size = sum(group.count for group in groups), sum(group.bytes for group in groups)
    yield f"{'total':20} {'':17} {'':22} {count:>9,} {size:>13,}"
