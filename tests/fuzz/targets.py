"""What can be fuzzed: each target makes inputs of random numbers, and raises what is wrong with one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from time import monotonic

from tests.fuzz import judges, messages, paths
from tests.fuzz.findings import Check, Finding, failure, found
from tests.fuzz.inputs import CHOICE_BYTES, Input, Maker, corpus

_DEEPEST = 600
"""More than any limit of levels that the targets have."""

_RARELY_DEEP = 60
_RARELY = 12
"""Deep values take long to look at, six times for each case."""


@dataclass(frozen=True)
class Target:
    name: str
    about: str
    make: Callable[[Maker], Input]
    check: Check
    corpus: str = "payloads"
    choices: int = 1
    """So many choices are made for each text of the corpus."""

    def known(self) -> list[Input]:
        """The inputs of the corpus."""
        return [
            Input(choice.to_bytes(CHOICE_BYTES), content)
            for content in corpus(self.corpus)
            for choice in range(self.choices)
        ]

    def run(self, *, seed: int, inputs: int | None, seconds: float | None) -> tuple[int, Finding | None]:
        """Until so many inputs were looked at, or so many seconds are over, or one was found to be wrong."""
        random, end = Random(seed), None if seconds is None else monotonic() + seconds
        waiting = self.known()
        random.shuffle(waiting)
        count = 0
        while (inputs is None or count < inputs) and (end is None or monotonic() < end):
            is_known = waiting and (inputs is None or random.randrange(2))
            one = waiting.pop() if is_known else self._made(random)
            count += 1
            if (error := failure(self.check, one)) is not None:
                return count, found(self.name, self.check, one, error)
        return count, None

    def _made(self, random: Random) -> Input:
        return self.make(Maker(random, _DEEPEST if not random.randrange(_RARELY) else _RARELY_DEEP))


def _payloads(most: int, maker: Maker) -> Input:
    return maker.payloads(most)


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target(
            "judges", "who says what is JSON, and within which limits", partial(_payloads, 3), judges.check
        ),
        Target(
            "parser",
            "messages of the KCL, with the C library and without",
            messages.make,
            messages.check,
            "messages",
        ),
        Target(
            "paths",
            "from payloads to requests, by every sink",
            partial(_payloads, 12),
            paths.check,
            choices=len(paths.MAIN),
        ),
    )
}
