"""What DynamoDB counts an item's size as, and the units of it.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

from collections.abc import Mapping
from typing import Any

type Attributes = Mapping[str, Mapping[str, Any]]
"""Attributes as requests and answers write them: `{"name": {"S": "text"}}`."""

WRITE_BYTES, READ_BYTES = 1024, 4096
_COLLECTION_BYTES = 3


def item_bytes(item: Attributes) -> int:
    """Names and values of all attributes. Raises ValueError for a type that DynamoDB does not have."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def units(size_bytes: int, unit_bytes: int) -> int:
    """Begun ones, one at least."""
    return max(1, -(-size_bytes // unit_bytes))


def _value_bytes(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_bytes(content)
        case "B":
            return _binary_bytes(content)
        case "BOOL" | "NULL":
            return 1
        case "SS":
            return sum(len(each.encode()) for each in content)
        case "NS":
            return sum(map(_number_bytes, content))
        case "BS":
            return sum(map(_binary_bytes, content))
        case "L":
            return _COLLECTION_BYTES + sum(1 + _value_bytes(each) for each in content)
        case "M":
            return _COLLECTION_BYTES + len(content) + item_bytes(content)
    raise ValueError(f"no type of DynamoDB: {kind}")


def _number_bytes(text: str) -> int:
    """A byte for two significant digits, and one more; DynamoDB says "approximately"."""
    digits = text.lower().partition("e")[0].lstrip("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1


def _binary_bytes(text: str) -> int:
    """Of base64."""
    return len(text) * 3 // 4 - text[-2:].count("=")
