"""The transform of the test of redrives: makes a record of each payload that was none."""

import json
import re


def mend(payload: bytes) -> bytes:
    found = re.search(rb"n=([0-9]+)", payload)
    if found is None:
        return payload
    number = int(found[1])
    return json.dumps({"player_id": f"{number % 16:x}", "time": "2026-01-31T12:00:00Z", "n": number}).encode()
