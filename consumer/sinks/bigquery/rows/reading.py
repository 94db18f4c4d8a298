"""Records are judged, and their keys and times are read, some hundred at a time."""

import dataclasses
from collections.abc import Iterator, Sequence

from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.dead_letters import Rejection
from consumer.domain.records import Record
from consumer.sinks.json.fields import FieldReader, Fields, RoutedFields

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


def routing_of(records: Sequence[Record]) -> Records | None:
    """The records as they were read, where a transform has replaced these."""
    if isinstance(records, Records) and records.routing is not records:
        return records.routing
    return None


def rerouted(reader: FieldReader, records: Sequence[Record], indices: Sequence[int]) -> set[int]:
    """The records at these indices that say something else of their key or time than they did when they were read, or
    that were refused: where they go their own bytes do not tell."""
    routing = routing_of(records)
    if routing is None:
        return set()
    found: set[int] = set()
    for some in slices_of(records, indices):
        own, _ = reader.read([record.data for record in records_at(records, some)])
        read, _ = reader.read(routing.payloads(some))
        for index, one, other in zip(some, own, read, strict=True):
            if one is None or other is None or (one.key, one.time) != (other.key, other.time):
                found.add(index)
    return found


def _routed(
    own: Sequence[Fields | None],
    refused: Sequence[Rejection],
    read: Sequence[Fields | None],
    refused_as_read: Sequence[Rejection],
) -> tuple[list[RoutedFields | None], list[Rejection]]:
    """A record that was refused as it was read is refused for that."""
    first = {rejection.index: rejection for rejection in (*refused, *refused_as_read)}
    fields = [
        None if one is None or other is None else RoutedFields(one.key, one.time, other)
        for one, other in zip(own, read, strict=True)
    ]
    return fields, [first[index] for index in sorted(first)]


def fields_of(
    reader: FieldReader, records: Sequence[Record], indices: Sequence[int], rejections: list[Rejection]
) -> Iterator[tuple[int, Record, Fields]]:
    """The records at these indices, which ascend, with what they say; those that are refused go to `rejections`."""
    routing = routing_of(records)
    for some in slices_of(records, indices):
        chosen = records_at(records, some)
        found, refused = reader.read([record.data for record in chosen])
        if routing is not None:
            found, refused = _routed(found, refused, *reader.read(routing.payloads(some)))
        rejections += [dataclasses.replace(each, index=some[each.index]) for each in refused]
        # whoever takes a record has it alone, and a large one need not stand beside its row
        left = list(reversed(chosen))
        del chosen
        for index, fields in zip(some, found, strict=True):
            if fields is None:
                left.pop()
            else:
                yield index, left.pop(), fields
