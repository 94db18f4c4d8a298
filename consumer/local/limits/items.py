"""What DynamoDB counts an item's size as.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

import math
from collections.abc import Mapping
from typing import Any

type Attributes = Mapping[str, Mapping[str, Any]]
"""Attributes as requests and answers write them: `{"name": {"S": "text"}}`."""

WRITE_BYTES, READ_BYTES = 1024, 4096
_COLLECTION_BYTES = 3


def item_bytes(item: Attributes) -> int:
    """Names and values of all attributes."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_bytes(content)
        case "B":
            return _decoded_bytes(content)
        case "SS":
            return sum(len(text.encode()) for text in content)
        case "NS":
            return sum(map(_number_bytes, content))
        case "BS":
            return sum(map(_decoded_bytes, content))
        case "L":
            return _COLLECTION_BYTES + sum(1 + _value_bytes(one) for one in content)
        case "M":
            return _COLLECTION_BYTES + len(content) + item_bytes(content)
        case _:  # BOOL, NULL
            return 1


def _number_bytes(text: str) -> int:
    """About a byte for two digits."""
    digits = text.lstrip("-").replace(".", "").strip("0")
    return math.ceil(len(digits) / 2) + 1 + text.startswith("-")


def _decoded_bytes(base64: str) -> int:
    return len(base64) * 3 // 4 - base64.count("=")


def units(size: int, unit_bytes: int) -> int:
    """Begun units, one at least."""
    return max(1, math.ceil(size / unit_bytes))
