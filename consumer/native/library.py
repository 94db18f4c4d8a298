"""The C library that bin/setup compiles, where there is one that was made of the sources beside this module."""

import ctypes
import os
import sys
from collections.abc import Buffer
from ctypes import (
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_ubyte,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import cache
from pathlib import Path
from typing import Any

from consumer.domain.columns import NUMBER_CODES, Columns
from consumer.domain.names import NATIVE_VARIABLE
from consumer.native import sources

SLACK = 64
"""Bytes that may be written past the end of an output; native.h has the same number."""

PARSED, UNSURE, MORE_RECORDS, UNFINISHED = range(4)
"""What parse_records answers."""

AT_BEGIN, AT_MEMBER, BEHIND_MEMBER, AT_RECORD, BEHIND_RECORD = range(5)
"""Where in a message it is: the stages of MessageProgress."""

DONE, BODY_IS_FULL, BODY_NEEDS_BYTES, OTHER_DAY = range(4)
"""What write_rows answers."""

FOUND, NOT_SURE, ON_ANOTHER_DAY = range(3)
"""What find_rows answers."""

MOST_TABLES = 256
"""That find_rows counts rows for."""

MOST_COLUMNS = 512
"""Of a schema."""

COLUMN_SLOTS = 4096
"""Room that index_columns wants for finding columns by their names."""

QUOTED_SLACK = 16
"""Bytes that may be read behind a column's quoted name; native.h has the same number."""

NO_KEY = 2**32 - 1
"""The offset of a key that is missing."""

MOST_ROUTE_FIELDS = 8
"""That find_groups compares."""

NO_GROUP = 2**32 - 1
"""The number of a record's group where find_groups is not sure."""

NO_ROW = -1
"""What array_bytes_of answers where it is not sure of a row."""

COLUMN_TYPES = ("TEXT", "JSON", "INTEGER", "FLOAT", "BOOLEAN", "TIMESTAMP", "DATE", "NUMERIC")
"""By their numbers."""

NUMBER_COLUMNS = tuple(NUMBER_CODES)
BEGINS = ("text_begins", "label_begins")


class Span(Structure):
    _fields_ = (("begin", c_void_p), ("size", c_uint64))


class RecordColumns(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("text", "labels", *NUMBER_COLUMNS, *BEGINS)),
        *((name, c_uint64) for name in ("text_bytes", "label_bytes", "count")),
    )


class MessageProgress(Structure):
    _fields_ = (
        ("offset", c_uint64),
        ("millis_behind", c_int64),
        *((name, c_int32) for name in ("stage", "has_action", "has_records", "has_millis")),
    )


class JsonLimits(Structure):
    _fields_ = (
        ("max_depth", c_uint64),
        ("max_name_bytes", c_uint64),
        ("unicode_only", c_int64),
        ("doubles_only", c_int64),
    )


class RecordFields(Structure):
    _fields_ = tuple(
        (name, c_uint32) for name in ("verdict", "offset", "key_begin", "key_size", "time_begin", "time_size")
    )


class RowRules(Structure):
    _fields_ = (
        *(
            (name, Span)
            for name in ("key_name", "time_name", "head", "middle", "time_head", "log_head", "tail")
        ),
        ("key_digits", c_uint64),
        ("is_whole", c_int64),
        *(
            (name, c_uint64)
            for name in ("max_rows", "max_bytes", "least_billed_bytes", "billed_bytes_beside")
        ),
        ("arrival_day", c_int64),
        ("oldest_day", c_ubyte * 10),
        ("newest_day", c_ubyte * 10),
    )


class TableBody(Structure):
    _fields_ = (
        ("body", c_void_p),
        ("size", c_uint64),
        ("capacity", c_uint64),
        ("indices", c_void_p),
        ("rows", c_uint64),
        ("billed_bytes", c_uint64),
    )


class RowCursor(Structure):
    _fields_ = tuple(
        (name, c_uint64) for name in ("index", "text_offset", "label_offset", "unsure", "table", "bytes")
    )


class RowPlaces(Structure):
    _fields_ = tuple(
        (name, c_void_p)
        for name in ("payloads", "sizes", "key_offsets", "key_sizes", "times_us", "array_bytes")
    )


class RowChoice(Structure):
    _fields_ = (
        ("indices", c_void_p),
        ("count", c_uint64),
        *((name, c_void_p) for name in ("tables", "sorted", "sizes", "counts")),
        ("bytes_beside", c_uint64),
        ("layouts", c_void_p),
    )


class ChoiceCursor(Structure):
    _fields_ = tuple((name, c_uint64) for name in ("place", "index", "text_offset"))


class ColumnSizes(Structure):
    _fields_ = tuple((name, c_uint64) for name in ("key_bytes", "log_bytes", "missing_keys"))


class TypedColumn(Structure):
    _fields_ = (
        *((name, Span) for name in ("name", "quoted", "lower")),
        *((name, c_int32) for name in ("type", "is_required", "value_bytes")),
    )


class RowSchema(Structure):
    _fields_ = (
        ("columns", POINTER(TypedColumn)),
        ("count", c_uint64),
        ("time_column", c_int64),
        ("key_column", c_int64),
        ("overflow_column", c_int64),
        ("takes_unknown", c_int64),
        ("slots", POINTER(c_uint16)),
        ("most_steps", c_uint64),
        ("longest_name", c_uint64),
    )


class TypedLayout(Structure):
    _fields_ = tuple(
        (name, c_uint64)
        for name in (
            *("nulls", "text_bytes", "validity", "offsets", "values", "written"),
            *("array_values", "arrays", "values_written"),
        )
    )


class RouteGroup(Structure):
    _fields_ = (
        ("hash", c_uint64),
        ("first", c_uint64),
        ("bucket", c_int64),
        ("values", Span * MOST_ROUTE_FIELDS),
    )


class RouteGroups(Structure):
    _fields_ = (
        ("pairs", POINTER(RowRules)),
        ("pair_count", c_uint64),
        ("bucket_ms", c_int64),
        ("groups", POINTER(RouteGroup)),
        ("most", c_uint64),
        ("count", c_uint64),
        ("slots", POINTER(c_uint32)),
        ("mask", c_uint64),
    )


class Texts:
    """Texts for C to read, kept as long as this is."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def span(self, text: bytes, *, slack: int = 0) -> Span:
        """With so many bytes behind it that may be read, too."""
        kept = ctypes.create_string_buffer(text, len(text) + slack or 1)
        self._kept.append(kept)
        return Span(ctypes.addressof(kept), len(text))


def columns_of(columns: Columns) -> RecordColumns:
    """For C to read. True until they are changed, which this does not prevent."""
    numbers = {name: address(getattr(columns, name)) for name in NUMBER_COLUMNS}
    return RecordColumns(
        text=address(columns.text),
        labels=address(columns.labels),
        **numbers,
        text_bytes=len(columns.text),
        label_bytes=len(columns.labels),
        count=len(columns),
    )


def path() -> Path:
    """Where bin/setup puts it."""
    return Path(sys.prefix) / "lib" / sources.library_name()


@cache
def found() -> ctypes.CDLL | str:
    """The library, or why there is none."""
    if os.environ.get(NATIVE_VARIABLE) == "off":
        return f"{NATIVE_VARIABLE}=off"
    if not path().exists():
        return f"{path()} is not there: bin/setup makes it"
    try:
        return opened(path())
    except OSError as error:
        return f"it cannot be loaded: {error}"


def opened(file: Path) -> ctypes.CDLL:
    """The library in this file. Raises OSError."""
    library = ctypes.CDLL(str(file))
    for name, arguments, result in _FUNCTIONS:
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library


def load() -> ctypes.CDLL | None:
    """None where there is none, or it is switched off."""
    library = found()
    return None if isinstance(library, str) else library


_ROWS = (POINTER(RowPlaces), c_void_p, c_uint64, POINTER(ColumnSizes))
_TYPED_ROWS = (
    POINTER(RowSchema),
    POINTER(RowRules),
    POINTER(RowPlaces),
    c_void_p,
    c_uint64,
    POINTER(TypedLayout),
)
_FUNCTIONS: tuple[tuple[str, tuple[Any, ...], Any], ...] = (
    (
        "parse_records",
        (c_void_p, c_uint64, c_uint64, POINTER(RecordColumns), POINTER(MessageProgress)),
        c_int,
    ),
    (
        "judge_json",
        (c_char_p, c_uint64, POINTER(JsonLimits), c_void_p, POINTER(c_uint64)),
        c_int,
    ),
    (
        "read_fields",
        (
            POINTER(RowRules),
            POINTER(JsonLimits),
            c_void_p,
            c_void_p,
            c_uint64,
            c_void_p,
            c_uint64,
            c_void_p,
        ),
        None,
    ),
    ("json_lines", (c_void_p, c_uint64, c_void_p, c_uint64), c_uint64),
    (
        "write_rows",
        (
            POINTER(RowRules),
            POINTER(RecordColumns),
            c_uint64,
            POINTER(TableBody),
            c_void_p,
            POINTER(RowCursor),
        ),
        c_int,
    ),
    (
        "find_rows",
        (
            POINTER(RowRules),
            POINTER(RowSchema),
            POINTER(RecordColumns),
            c_uint64,
            POINTER(RowChoice),
            POINTER(RowPlaces),
            POINTER(ChoiceCursor),
        ),
        c_int,
    ),
    (
        "find_times",
        (POINTER(RowRules), POINTER(RecordColumns), c_uint64, c_void_p, c_void_p),
        c_uint64,
    ),
    (
        "find_groups",
        (POINTER(RouteGroups), POINTER(RecordColumns), c_uint64, c_void_p, c_void_p, c_void_p),
        None,
    ),
    ("measure_lines", (c_void_p, c_void_p, c_uint64, c_void_p), c_uint64),
    ("copy_lines", (c_void_p, c_void_p, c_void_p, c_uint64, c_void_p), None),
    ("sort_rows", (POINTER(RowChoice), POINTER(RowPlaces)), None),
    ("measure_columns", _ROWS, None),
    ("write_columns", (*_ROWS, c_void_p), None),
    ("index_columns", (POINTER(RowSchema),), None),
    ("array_bytes_of", (c_char_p, c_uint64, POINTER(RowSchema), POINTER(RowRules)), c_int64),
    ("measure_typed", _TYPED_ROWS, None),
    ("write_typed", (*_TYPED_ROWS, c_uint64, c_void_p), None),
)


def new_bytes(size: int) -> tuple[bytes, int]:
    """What is yet to be written, and where it begins: that has to be done before anybody else sees it. `size` is not
    0. Python's own function for those who write in C."""
    made: bytes = _new_bytes(None, size)
    return made, address_of_bytes(made)


_new_bytes = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)


def new_bytearray(size: int) -> bytearray:
    """What is yet to be written: whatever was in its memory before is in it."""
    made: bytearray = _new_bytearray(None, size)
    return made


_new_bytearray = ctypes.PYFUNCTYPE(ctypes.py_object, c_void_p, ctypes.c_ssize_t)(
    ("PyByteArray_FromStringAndSize", ctypes.pythonapi)
)
address_of_bytes = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))


def copy(begin: int, text: bytes) -> None:
    """Into memory that begins there."""
    ctypes.memmove(begin, text, len(text))


def address(buffer: Buffer) -> int:
    """Of a writable buffer's memory. It stays true until the buffer is resized, which this does not prevent."""
    view = memoryview(buffer)
    if not view.nbytes:
        return 0
    return ctypes.addressof(c_ubyte.from_buffer(view.cast("B")))
