"""JSON as a transform's function gets it, with numbers that are written as they were spelled."""

from typing import Any

import msgspec


class Spelled(float):
    """A number with a fraction or an exponent, which keeps its text: 1.10, 1e400, -0.0. What is computed with it is a
    plain float."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> "Spelled":
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __reduce__(self) -> tuple[type["Spelled"], tuple[str]]:
        return Spelled, (self.text,)


def _written(value: Any) -> msgspec.Raw:
    if isinstance(value, Spelled):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"{type(value).__name__} has no form in JSON")


decode = msgspec.json.Decoder(float_hook=Spelled).decode
"""Whole numbers of any size are int. Of several members with one name the last one counts."""

encode = msgspec.json.Encoder(enc_hook=_written).encode
"""A float that is not finite becomes null: `has_not_finite` finds it."""


def has_not_finite(value: Any) -> bool:
    """Whether a float that JSON has no number for is in it."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            left.extend(one)
        elif type(one) is float and not -_INFINITE < one < _INFINITE:
            return True
    return False


_INFINITE = float("inf")
