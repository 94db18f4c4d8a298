"""What a record needs before it fits the columns of a schema file: JSON columns, and fields without a column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from consumer.settings.schema import Column
from consumer.sinks.json.members import items, json_text

type Members = dict[str, msgspec.Raw]

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NULL = b"null"
_ABSENT = msgspec.Raw(_NULL)
_SMALL_BYTES = 64 * 1024


class Reshaper:
    """Rewrites the members that need it; all others keep their bytes."""

    def __init__(self, columns: Sequence[Column], *, json_as_text: bool, overflow: str | None) -> None:
        """With `json_as_text` the value of a JSON column becomes a text that holds it, as insertAll wants it.
        `overflow` is the JSON column that takes the fields without a column, which stay where they are otherwise."""
        self._json_as_text = json_as_text
        self._overflow = overflow
        self._places = {column.name.lower(): self._place(column) for column in columns}
        self.rewrites = any(place.rewrites for place in self._places.values())
        """Whether there are columns whose values never stay as they are."""
        plain = overflow is not None and not self.rewrites
        self._fits = msgspec.json.Decoder(_strict_shape(columns)).decode if plain else None
        self.is_needed = self.rewrites or overflow is not None

    def __call__(self, data: bytes) -> bytes:
        """`data` is a JSON object that was judged, and has few enough values (size.py); the same bytes where nothing is
        to do."""
        # of what is larger this would build too much
        if self._fits is not None and len(data) <= _SMALL_BYTES:
            try:
                self._fits(data)
                return data
            except msgspec.MsgspecError:  # a field without a column, for one
                pass
        members = _decode_object(data)
        rest = self._fit(members, self._places)
        if rest and self._overflow is not None:
            members[self._overflow] = self._json_value(_encode(rest))
        return _encode(members)

    def _place(self, column: Column) -> "_Place":
        inner = {field.name.lower(): self._place(field) for field in column.fields}
        return _Place(
            is_json=column.type == "JSON" and self._json_as_text,
            is_repeated=column.mode == "REPEATED",
            inner=inner,
            rewrites=(column.type == "JSON" and self._json_as_text)
            or any(place.rewrites for place in inner.values()),
        )

    def _fit(self, members: Members, places: "dict[str, _Place]") -> dict[str, Any]:
        """Rewrite members in place; what has no column is taken out and returned."""
        rest: dict[str, Any] = {}
        for name, raw in list(members.items()):
            place = places.get(name.lower())
            if place is None:
                if self._overflow is not None:
                    rest[name] = members.pop(name)
            elif bytes(raw) != _NULL and (place.rewrites or (place.inner and self._overflow is not None)):
                members[name], left = self._value(raw, place)
                if left:
                    rest[name] = left
        return rest

    def _value(self, raw: msgspec.Raw, place: "_Place") -> tuple[msgspec.Raw, Any]:
        """The value as its column takes it, and what of it has no column. A value of another kind than the column's
        is left as it is: BigQuery says what is wrong with it better than this code could."""
        text = bytes(raw)
        if not place.is_repeated:
            return self._single(text, place)
        if not text.startswith(b"["):
            return raw, None
        values, rest = bytearray(b"["), bytearray(b"[")
        any_rest = False
        for item in items(text):
            value, left = self._single(item, place)
            values += bytes(value) + b","
            rest += _encode(left or {}) + b","
            any_rest = any_rest or bool(left)
        return _closed(values), _closed(rest) if any_rest else None

    def _single(self, text: bytes, place: "_Place") -> tuple[msgspec.Raw, Any]:
        if place.is_json:
            return self._json_value(text), None
        if not text.startswith(b"{"):
            return msgspec.Raw(text), None
        members = _decode_object(text)
        rest = self._fit(members, place.inner)
        return msgspec.Raw(_encode(members)), rest

    def _json_value(self, value: bytes) -> msgspec.Raw:
        return json_text(value) if self._json_as_text else msgspec.Raw(value)


def _closed(items_so_far: bytearray) -> msgspec.Raw:
    """Each with a comma behind it, behind the bracket; or none at all."""
    if len(items_so_far) > 1:
        del items_so_far[-1:]
    return msgspec.Raw(bytes(items_so_far) + b"]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One column; `rewrites` tells that its values never stay as they are."""

    is_json: bool
    is_repeated: bool
    inner: "dict[str, _Place]"
    rewrites: bool


def _strict_shape(columns: Sequence[Column]) -> Any:
    """A type that decodes exactly the objects whose every member has a column, and looks at nothing else."""
    fields = [(f"field_{number}", _member_type(column), _ABSENT) for number, column in enumerate(columns)]
    names = {f"field_{number}": column.name for number, column in enumerate(columns)}
    return msgspec.defstruct("Shape", fields, rename=names, forbid_unknown_fields=True, gc=False)


def _member_type(column: Column) -> Any:
    if not column.fields:
        return msgspec.Raw
    inner: Any = _strict_shape(column.fields)
    return (list[inner] if column.mode == "REPEATED" else inner) | None
