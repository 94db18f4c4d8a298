"""Which path below the prefix each record of a chunk goes to, by a template of keys.

A chunk has a limit of paths: records that would need one more share the overflow path. Which these are depends on the
chunk, which depends on records and settings only (I2): paths count in the order in which its records need them.
"""

import ctypes
from array import array
from collections.abc import Mapping, Sequence
from itertools import batched
from typing import Any

from consumer.domain.columns import PART_RECORDS, Records
from consumer.domain.key_templates import KeyTemplate
from consumer.native import library
from consumer.sinks.json.fields import REPEATED_FIELD, FieldReader, find_fields
from consumer.sinks.json.judge import Judge
from consumer.sinks.json.members import text_of
from consumer.sinks.json.rule import Limits
from consumer.sinks.s3.chosen_lines import ChosenLines

_MOST_GROUPS = 2048
"""That the C library tells apart in a chunk."""
_SLOTS = 8192
_NO_NAME = b'"'
"""A quote stands in no name as it is."""


class KeyRoutes:
    """Finds the paths of records."""

    def __init__(self, template: KeyTemplate, *, most: int, max_depth: int) -> None:
        """`most` paths a chunk, beside the one of the overflow; JSON may have `max_depth` levels."""
        self._template = template
        self._most = most
        limits = Limits(max_depth=max_depth)
        self._judge = Judge(limits)
        self._pairs = [(pair[0], pair[-1]) for pair in batched(template.fields, 2, strict=False)]
        self._readers = [
            FieldReader(key_field=one, time_field=two, limits=limits) for one, two in self._pairs
        ]
        self._native = library.load()
        self._texts = library.Texts()
        self._rules = (library.RowRules * len(self._pairs))(
            *(
                library.RowRules(
                    key_name=self._texts.span(one.encode()),
                    time_name=self._texts.span(_NO_NAME if one == two else two.encode()),
                )
                for one, two in self._pairs
            )
        )

    def group(
        self, records: Records, times_ms: "array[int]"
    ) -> tuple[Mapping[str, Sequence[int] | None], ChosenLines]:
        """Indices of records by path, in order; None for the indices where one path takes them all."""
        numbers = array("I", b"\xff" * (4 * len(records)))
        groups, payloads = self._grouped(records, times_ms, numbers)
        # a number and a path for each group, and for each record that is in none
        needed = [(first, number, path) for number, (first, path) in enumerate(groups)]
        if library.NO_GROUP in numbers:
            unsure = [index for index, number in enumerate(numbers) if number == library.NO_GROUP]
            for number, (index, path) in enumerate(
                zip(unsure, self._paths(records, times_ms, unsure), strict=True), start=len(groups)
            ):
                numbers[index] = number
                needed.append((index, number, path))
        chosen: dict[str, array[int]] = {}
        takers: list[Any] = [None] * len(needed)
        for _, number, path in sorted(needed):
            if path not in chosen and len(chosen) >= self._most:
                path = self._template.overflow_path(records.first_arrival_ms)
            takers[number] = chosen.setdefault(path, array("I")).append
        if len(chosen) == 1:
            return dict.fromkeys(chosen), ChosenLines(records)
        for index, number in enumerate(numbers):
            takers[number](index)
        return chosen, ChosenLines(records, payloads)

    def _grouped(
        self, records: Records, times_ms: "array[int]", numbers: "array[int]"
    ) -> "tuple[list[tuple[int, str]], array[int] | None]":
        """The first record of each group that the C library finds, and its path; and where all payloads are."""
        native = self._native
        if native is None:
            return [], None
        payloads = array("Q", bytes(8 * len(records)))
        groups = (library.RouteGroup * _MOST_GROUPS)()
        found = library.RouteGroups(
            pairs=self._rules,
            pair_count=len(self._pairs),
            bucket_ms=self._template.bucket_ms,
            groups=groups,
            most=_MOST_GROUPS,
            slots=(ctypes.c_uint32 * _SLOTS)(),
            mask=_SLOTS - 1,
        )
        pointers = [library.address(each) for each in (times_ms, numbers, payloads)]
        first = 0
        for part in records.parts:
            native.find_groups(found, library.columns_of(part), first, *pointers)
            first += len(part)
        return [
            (group.first, self._template.path(self._values(group), group.bucket * self._template.bucket_ms))
            for group in groups[: found.count]
        ], payloads

    def _values(self, group: Any) -> list[str | None]:
        fields = len(self._template.fields)
        return [
            value_text(ctypes.string_at(value.begin, value.size)) if value.size else None
            for value in group.values[:fields]
        ]

    def _paths(self, records: Records, times_ms: "array[int]", indices: Sequence[int]) -> list[str]:
        """The rule, for records at these indices."""
        made: list[str] = []
        for some in batched(indices, PART_RECORDS, strict=False):
            payloads = records.payloads(some)
            columns = [column for pair in self._read(payloads) for column in pair]
            made += [
                self._template.path([column[place] for column in columns], times_ms[index])
                for place, index in enumerate(some)
            ]
        return made

    def _read(self, payloads: Sequence[bytes]) -> list[tuple[list[str | None], list[str | None]]]:
        """For each pair of fields the values of each payload."""
        pairs: list[tuple[list[str | None], list[str | None]]] = []
        for (one, two), reader in zip(self._pairs, self._readers, strict=True):
            ones: list[str | None] = []
            twos: list[str | None] = []
            for payload, span in zip(payloads, reader.spans(payloads), strict=True):
                if span.verdict == REPEATED_FIELD:  # one of the two: the other has a value of its own
                    ones.append(self._alone(payload, one))
                    twos.append(self._alone(payload, two))
                    continue
                ones.append(_spelled(payload, span.key_begin, span.key_size))
                twos.append(_spelled(payload, span.time_begin, span.time_size))
            pairs.append((ones, twos))
        return pairs

    def _alone(self, payload: bytes, field: str) -> str | None:
        span = find_fields(payload, field, field, self._judge)
        return None if span.verdict else _spelled(payload, span.key_begin, span.key_size)


def _spelled(payload: bytes, begin: int, size: int) -> str | None:
    return value_text(payload[begin : begin + size]) if size else None


def value_text(value: bytes) -> str | None:
    """What a JSON value is in a key: what a text says, numbers and words as they are spelled, and None for null,
    objects and arrays."""
    match value[:1]:
        case b'"':
            return text_of(value)
        case b"n" | b"{" | b"[":
            return None
    return value.decode()
