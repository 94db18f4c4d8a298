"""Dead letters for people to read."""

from collections.abc import Iterator

from consumer.domain.excerpts import excerpt
from consumer.operate.dead_letters.letters import Letter
from consumer.operate.payloads import Payloads, printable

_LONGEST = 20_000
"""Characters of a payload that are shown."""


class Renderer:
    """Masks as Payloads does."""

    def __init__(self, *, mask: bool) -> None:
        self.payloads = Payloads(mask=mask)

    def lines(self, letter: Letter) -> Iterator[str]:
        """One letter, a line after the other."""
        key = printable(self.payloads.key(letter.partition_key))
        yield f"{letter.shard} {letter.position}{f'#{letter.piece}' if letter.piece else ''}  key {key}"
        yield f"  arrived {letter.arrived_at}, {letter.reason}{self._detail(letter.detail)}"
        for refusal in letter.refusals:
            yield f"  redriven {refusal.at}, {refusal.reason}{self._detail(refusal.detail)}"
        text = self.payloads.lines(letter.payload)
        for line in excerpt(text, _LONGEST).split("\n"):
            yield f"  {line}"
        yield ""

    def as_object(self, letter: Letter) -> dict[str, object]:
        """For JSON."""
        payloads = self.payloads
        return {
            "shard": letter.shard,
            "sequence_number": letter.sequence_number,
            "sub_sequence_number": letter.sub_sequence_number,
            "partition_key": payloads.key(letter.partition_key),
            "arrived_at": letter.arrived_at,
            "reason": letter.reason,
            "detail": payloads.detail(letter.detail),
            "refusals": [
                {"at": one.at, "reason": one.reason, "detail": payloads.detail(one.detail)}
                for one in letter.refusals
            ],
            "payload": payloads.text(letter.payload),
            "bytes": len(letter.payload),
        }

    def _detail(self, detail: str) -> str:
        shown = printable(self.payloads.detail(detail))
        return f": {shown}" if shown else ""
