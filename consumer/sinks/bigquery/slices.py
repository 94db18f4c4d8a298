"""Records are judged and made into rows some hundred at a time."""

from collections.abc import Sequence
from operator import itemgetter

from consumer.domain.columns import Records
from consumer.domain.records import Record

SLICE_RECORDS = 500
"""Some hundred kilobytes of usual records: they, and what is made of them, stay in the processor's cache meanwhile."""


def picked[Item](items: Sequence[Item], places: Sequence[int]) -> Sequence[Item]:
    """The items at these places, in their order."""
    return itemgetter(*places)(items) if len(places) > 1 else [items[place] for place in places]


def records_at(records: Sequence[Record], indices: Sequence[int]) -> Sequence[Record]:
    """Those at these indices, which ascend: columns make many of them faster than one by one."""
    if isinstance(records, Records):
        return records.at(indices)
    if isinstance(indices, range):
        return records[indices.start : indices.stop]
    return [records[index] for index in indices]
