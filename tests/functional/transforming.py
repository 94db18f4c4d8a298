"""A transform as a shard process meets it: it prints, exits, fails, filters and multiplies."""

import sys
from typing import Any

print("imported")


def change(record: dict[str, Any]) -> Any:
    number = record["n"]
    print(f"a stray line of record {number}")
    sys.stdout.flush()
    if number % 5 == 0:
        return None
    if number % 7 == 0:
        sys.exit(3)
    if number % 11 == 0:
        return [record, {"half": number}]
    record["seen"] = True
    return record
