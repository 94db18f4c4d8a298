"""Reading payloads: is it JSON, and what do the routing fields say. Batches first, records one by one only after
a batch was found to hold a bad one."""

import json
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec

from consumer.domain.dead_letters import Rejection
from consumer.native import library

_raw_decoder = msgspec.json.Decoder(msgspec.Raw)

type Routing = tuple[object, object]
"""The values of the key field and of the time field; None where the record has no such field."""


class NotJson(ValueError):
    """The payload is not one JSON value in UTF-8."""


class NotAnObject(ValueError):
    """It is JSON, but has no fields."""


def are_json_lines(text: bytearray, sizes: "array[int]") -> bool:
    """Whether payloads of these sizes, which stand in `text` with a line end after each, surely are one JSON value
    each and hold no line end; False without the C library."""
    native = library.load()
    if native is None or not sizes:
        return False
    count = len(sizes)
    found: int = native.json_lines(library.address(text), len(text), library.address(sizes), count)
    return found == count


def find_invalid_json(payloads: Sequence[bytes], joined: bytes) -> list[Rejection]:
    """Every payload that is not one JSON value, by its index. `joined` holds all of them, with ASCII in between."""
    try:
        # list(map()) keeps the loop in C: this is half of the CPU time of the S3 path
        list(map(_raw_decoder.decode, payloads))
        if _is_utf8(joined):
            return []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    return [
        Rejection(index, "not_json", str(error))
        for index, payload in enumerate(payloads)
        if (error := _json_error(payload)) is not None
    ]


class RoutingReader:
    """Reads the key field and the time field of JSON objects without building the rest of them."""

    def __init__(self, *, key_field: str, time_field: str) -> None:
        self._key_field = key_field
        self.time_field = time_field
        names = {"key": key_field, "time": time_field}
        shape = msgspec.defstruct(
            "RoutingFields",
            [("key", Any, None), ("time", Any, None)],
            rename=names,
            gc=False,
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode

    def read(self, payloads: Sequence[bytes]) -> tuple[list[Any], list[Rejection]]:
        """One object with `key` and `time` for each payload, None for each rejected one."""
        try:
            fields = list(map(self._decode, payloads))
            if _is_utf8(b"\n".join(payloads)):
                return fields, []
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        return self._read_one_by_one(payloads)

    def _read_one_by_one(self, payloads: Sequence[bytes]) -> tuple[list[Any], list[Rejection]]:
        fields: list[Any] = []
        rejections: list[Rejection] = []
        for index, payload in enumerate(payloads):
            try:
                fields.append(self._read_one(payload))
            except NotJson as error:
                fields.append(None)
                rejections.append(Rejection(index, "not_json", str(error)))
            except NotAnObject as error:
                fields.append(None)
                rejections.append(Rejection(index, "not_an_object", str(error)))
        return fields, rejections

    def _read_one(self, payload: bytes) -> Any:
        try:
            payload.decode()
            return self._decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            value = strict_json(payload)
        if not isinstance(value, dict):
            raise NotAnObject(f"a JSON {_TYPE_NAMES[type(value)]}, not an object")
        return _Fields(value.get(self._key_field), value.get(self.time_field))


class _Fields(msgspec.Struct, gc=False):
    key: Any
    time: Any


_TYPE_NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def strict_json(payload: bytes) -> object:
    """The value, as RFC 8259 has it: lone surrogates pass, NaN and Infinity do not; raises NotJson."""
    if not payload:
        raise NotJson("empty payload")
    try:
        return json.loads(payload.decode(), parse_constant=_refuse_constant, parse_int=_any_number)
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except ValueError as error:  # UnicodeDecodeError is one
        raise NotJson(str(error)) from None


def _json_error(payload: bytes) -> NotJson | None:
    try:
        payload.decode()
        _raw_decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            strict_json(payload)
        except NotJson as error:
            return error
    return None


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


def _any_number(digits: str) -> float:
    """Python refuses to convert integers of more than 4,300 digits; their value does not matter here."""
    return float(digits) if len(digits) > 300 else int(digits)


def _is_utf8(joined: bytes) -> bool:
    """The JSON decoder does not look inside the strings that it skips."""
    if joined.isascii():
        return True
    try:
        joined.decode()
    except UnicodeDecodeError:
        return False
    return True
