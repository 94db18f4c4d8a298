"""Where an application's dead letters stand, and what is read of them: by day, the oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consumer.operate.bucket import Bucket, Listed
from consumer.operate.dead_letters.letters import Choice, Letter, Unreadable, letters_of
from consumer.operate.errors import Refused

_OURS = ("audit", "redriven", "redriving", "discarded")
"""Folders beside those of applications."""


@dataclass(frozen=True, slots=True)
class Source:
    """One object of dead letters; those of them that were chosen."""

    listed: Listed
    letters: Sequence[Letter]
    chosen: Sequence[Letter]


@dataclass(frozen=True, slots=True)
class Places:
    """The keys of one application: `<prefix><application>/dt=…` and what the commands keep beside them."""

    bucket: Bucket
    prefix: str
    application: str

    @property
    def own(self) -> str:
        return f"{self.prefix}{self.application}/"

    def moved(self, folder: str, source: str) -> str:
        """Where letters of an object go: `redriven` or `discarded`."""
        return f"{self.prefix}{folder}/{self.application}/{source.removeprefix(self.own)}"

    @property
    def parcel(self) -> str:
        return f"{self.prefix}redriving/{self.application}/parcel.ndjson.gz"

    @property
    def lock(self) -> str:
        return f"{self.prefix}redriving/{self.application}/lock.json"

    def refuse_unknown(self) -> None:
        """Raises Refused where the application has no dead letters at all, as under a wrong name."""
        if self.bucket.days(self.own):
            return
        others = [name for name in self.bucket.folders(self.prefix) if name not in _OURS]
        known = f"; there are some of {', '.join(others)}" if others else ""
        raise Refused(
            f"no dead letters of applicationName {self.application} beneath s3://{self.bucket.name}/{self.own}{known}"
        )

    def objects(self, choice: Choice) -> Iterator[Listed]:
        """By day, hour of their writing, and shard."""
        for day in self.bucket.days(self.own):
            if choice.may_hold(day):
                found = self.bucket.objects(f"{self.own}dt={day}/")
                yield from sorted(found, key=lambda one: (one.modified.timestamp() // 3600, one.key))

    def sources(self, choice: Choice, problems: list[str]) -> Iterator[Source]:
        """Objects that hold chosen letters; one that cannot be read is added to `problems`."""
        for listed in self.objects(choice):
            stored = self.bucket.get(listed.key)
            if stored is None:
                continue
            try:
                letters = list(letters_of(stored.body))
            except Unreadable as error:
                problems.append(f"s3://{self.bucket.name}/{listed.key} holds no dead letters: {error}")
                continue
            chosen = [letter for letter in letters if choice.takes(letter)]
            if chosen:
                yield Source(listed, letters, chosen)
