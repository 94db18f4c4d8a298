"""Records are judged, and their keys and times are read, some hundred at a time."""

import dataclasses
from collections.abc import Iterator, Sequence

from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.sinks.json.fields import FieldReader, Fields

SLICE_BYTES = 1024 * 1024
"""Of large records fewer: what is made of them takes several times as much memory."""


def slices_of(records: Sequence[Record], indices: Sequence[int]) -> Iterator[Sequence[int]]:
    """Contiguous parts of the indices, each of at most PART_RECORDS with SLICE_BYTES together, or of one record."""
    sizes = records.sizes() if isinstance(records, Records) else [len(record.data) for record in records]
    for start in range(0, len(indices), PART_RECORDS):
        some = indices[start : start + PART_RECORDS]
        if sum(map(sizes.__getitem__, some)) <= SLICE_BYTES:
            yield some
            continue
        begin = size = 0
        for place, index in enumerate(some):
            if place > begin and size + sizes[index] > SLICE_BYTES:
                yield some[begin:place]
                begin = place
                size = 0
            size += sizes[index]
        yield some[begin:]


def records_at(records: Sequence[Record], indices: Sequence[int]) -> Sequence[Record]:
    """Those at these indices, which ascend: columns make many of them faster than one by one."""
    if isinstance(records, Records):
        return records.at(indices)
    if isinstance(indices, range):
        return records[indices.start : indices.stop]
    return [records[index] for index in indices]


def fields_of(
    reader: FieldReader, records: Sequence[Record], indices: Sequence[int], rejections: list[Rejection]
) -> Iterator[tuple[int, Record, Fields]]:
    """The records at these indices, which ascend, with what they say; those that are refused go to `rejections`."""
    for some in slices_of(records, indices):
        chosen = records_at(records, some)
        found, refused = reader.read([record.data for record in chosen])
        rejections += [dataclasses.replace(each, index=some[each.index]) for each in refused]
        # whoever takes a record has it alone, and a large one need not stand beside its row
        left = list(reversed(chosen))
        del chosen
        for index, fields in zip(some, found, strict=True):
            if fields is None:
                left.pop()
            else:
                yield index, left.pop(), fields
