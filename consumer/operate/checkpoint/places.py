"""A place in a shard as the lease table keeps it, and as an operator names one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from consumer.daemon.report.leases import SHARD_END
from consumer.operate.moments import Moment, moment

TRIM_HORIZON = "TRIM_HORIZON"

_WHOLE = 2**31 - 1
"""Above every sub-sequence number: a KPL aggregate has at most some hundred thousand records."""
_SEQUENCE = re.compile(r"([0-9]{21,128})(?:\.([0-9]{1,9}))?").fullmatch
"""No time has so many digits, and sequence numbers have 56."""


@dataclass(frozen=True, slots=True)
class Place:
    """A checkpoint of the KCL: reading goes on after it. `sequence` is a sequence number or one of the KCL's words."""

    sequence: str
    sub: int = 0

    @classmethod
    def before(cls, sequence: str, sub: int = 0) -> Place:
        """So that this record is the first one. The KCL asks Kinesis for the records *at* the sequence number and drops
        those up to the sub-sequence number (ProcessTask), which begin at 0: -1 drops none."""
        return cls(sequence, sub - 1)

    @classmethod
    def past(cls, sequence: str) -> Place:
        """So that none of the record comes, however many a KPL aggregate holds."""
        return cls(sequence, _WHOLE)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Place | None:
        """Of a row of the lease table; None where the KCL has written none."""
        if "checkpoint" not in row:
            return None
        return cls(row["checkpoint"]["S"], int(row.get("checkpointSubSequenceNumber", {}).get("N", 0)))

    @property
    def ended(self) -> bool:
        return self.sequence == SHARD_END

    def order(self) -> tuple[int, int, int] | None:
        """Compares places of one shard; None for LATEST and AT_TIMESTAMP, of which nobody knows where they lie."""
        if self.sequence == TRIM_HORIZON:
            return (0, 0, 0)
        if self.ended:
            return (2, 0, 0)
        return (1, int(self.sequence), self.sub) if self.sequence.isdecimal() else None

    def __str__(self) -> str:
        if not self.sequence.isdecimal():
            return self.sequence
        if self.sub == _WHOLE:
            return self.sequence
        if self.sub < 0:
            return f"before {self.sequence}"
        return f"{self.sequence}.{self.sub}" if self.sub else self.sequence


START, END = Place(TRIM_HORIZON), Place(SHARD_END)


class Word(Enum):
    """What stands for a place in every shard."""

    LATEST = "LATEST"
    TRIM_HORIZON = TRIM_HORIZON
    CURRENT = "CURRENT"


type Goal = Word | Place | Moment


def goal(text: str) -> Goal:
    """The type of `--to`."""
    if text in Word.__members__:
        return Word[text]
    found = _SEQUENCE(text)
    if found:
        return Place(found[1], int(found[2] or 0))
    try:
        return moment(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{error}, or a sequence number, {', '.join(Word.__members__)}"
        ) from None
