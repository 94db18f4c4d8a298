"""The dead letters of a range: what both backends hold aside, wherever the commands have moved it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from consumer.domain.object_names import parse_object_name
from consumer.operate.dead_letters.letters import Choice, Letter, Unreadable, letters_of
from consumer.operate.dead_letters.places import Places

_FOLDERS = ("", "discarded", "redriven")


class Aside(NamedTuple):
    """`chunk` is that of its object, as objects of S3 have it."""

    letter: Letter
    is_redriven: bool
    chunk: str


def letters_aside(
    places: Places, stream: str, begin_ms: int, end_ms: int, problems: list[str]
) -> Iterator[Aside]:
    """Each record once, of those that arrived from one time to before another. An object that cannot be read is added
    to `problems`. Raises DeliveryError."""
    choice = Choice(since_ms=begin_ms, until_ms=end_ms)
    seen: set[str] = set()
    for folder in _FOLDERS:
        beneath = places.moved(folder, places.own) if folder else places.own
        for day in places.bucket.days(beneath):
            if not choice.may_hold(day):
                continue
            for listed in places.bucket.objects(f"{beneath}dt={day}/"):
                stored = places.bucket.get(listed.key)
                try:
                    letters = [] if stored is None else list(letters_of(stored.body))
                except Unreadable as error:
                    problems.append(f"s3://{places.bucket.name}/{listed.key} cannot be read: {error}")
                    continue
                name = parse_object_name(listed.key)
                for letter in letters:
                    identity = f"{letter.shard}/{letter.position}"
                    if letter.stream == stream and choice.takes(letter) and identity not in seen:
                        seen.add(identity)
                        chunk = "" if name is None else f"{letter.shard}-{name.first}-{name.records}"
                        yield Aside(letter, folder == "redriven", chunk)
