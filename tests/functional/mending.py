"""The transforms of the test of redrives: one makes a record of each payload that was none, another one has failed."""

import json
import re
from typing import Any


def mend(payload: bytes) -> bytes:
    found = re.search(rb"n=([0-9]+)", payload)
    if found is None:
        return payload
    number = int(found[1])
    return json.dumps({"player_id": f"{number % 16:x}", "time": "2026-01-31T12:00:00Z", "n": number}).encode()


def refuse_broken(record: dict[str, Any]) -> dict[str, Any]:
    if "broken" in record:
        raise ValueError("broken")
    return record
