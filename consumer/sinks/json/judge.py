"""Judges payloads, by the C library where it is there: the rule itself is in `rule.py`."""

import ctypes
from array import array
from collections.abc import Iterator

from consumer.domain.dead_letters import Rejection
from consumer.native import library
from consumer.sinks.json.first_look import is_surely_fine
from consumer.sinks.json.rule import (
    LEAST_DEPTH,
    LEAST_NAME_BYTES,
    REASONS,
    Fault,
    Limits,
    judge,
)


class Judge:
    """Judges payloads by one set of limits, which allow at least what the C library takes at first sight."""

    def __init__(self, limits: Limits) -> None:
        """Raises ValueError for limits below LEAST_DEPTH or LEAST_NAME_BYTES."""
        if limits.max_depth < LEAST_DEPTH or limits.max_name_bytes < LEAST_NAME_BYTES:
            raise ValueError(f"limits that usual records do not keep to: {limits}")
        self.limits = limits
        self._native = library.load()
        self._c_limits = library.JsonLimits(
            max_depth=limits.max_depth,
            max_name_bytes=limits.max_name_bytes,
            unicode_only=limits.unicode_only,
            doubles_only=limits.doubles_only,
        )
        self._levels = ctypes.create_string_buffer(limits.max_depth // 8 + 1)

    def fault(self, payload: bytes) -> Fault | None:
        """None where the payload is fine."""
        if self._native is None:
            return None if is_surely_fine(payload, self.limits) else judge(payload, self.limits)
        offset = ctypes.c_uint64()
        found: int = self._native.judge_json(
            payload, len(payload), self._c_limits, self._levels, ctypes.byref(offset)
        )
        return Fault(REASONS[found - 1], offset.value) if found else None

    def for_c(self) -> "tuple[library.JsonLimits, ctypes.Array[ctypes.c_char]]":
        """What functions of the C library take that judge payloads."""
        return self._c_limits, self._levels

    def rejection(self, payload: bytes, index: int) -> Rejection | None:
        """As `fault`, in the words of a dead letter; `index` is the record's in its chunk."""
        fault = self.fault(payload)
        return None if fault is None else Rejection(index, fault.reason, fault.detail(payload, self.limits))

    def unsure(self, text: bytearray, sizes: "array[int]") -> Iterator[tuple[int, int]]:
        """The index of each payload that is not surely fine and on one line, and where it begins in `text`, in which
        the payloads of these sizes stand with a line end after each. Every one of them without the C library."""
        begin = index = 0
        while index < len(sizes):
            sure = self._leading_lines(text, begin, sizes, index)
            if index + sure == len(sizes):
                return
            begin += sum(sizes[index : index + sure]) + sure
            index += sure
            yield index, begin
            begin += sizes[index] + 1
            index += 1

    def _leading_lines(self, text: bytearray, begin: int, sizes: "array[int]", first: int) -> int:
        if self._native is None:
            return 0
        found: int = self._native.json_lines(
            library.address(text) + begin,
            len(text) - begin,
            library.address(sizes) + first * sizes.itemsize,
            len(sizes) - first,
        )
        return found
