"""insertAll's partial failures: which rows are refused, what is passed on, what is answered."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from consumer.local.faults.rules import RefuseRows

_KIND = "bigquery#tableDataInsertAllResponse"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`passed` are the indices of the rows that go on to the table, in the body `rest`, None when none do."""

    action: RefuseRows
    refused: Sequence[int]
    passed: Sequence[int]
    rest: bytes | None


def refuse(action: RefuseRows, body: bytes, chance: random.Random) -> Refusal:
    """Draw the rows to refuse. Without `skipInvalidRows` BigQuery stores none of a request of which it refuses one.
    Raises ValueError for a body that is no insertAll request."""
    request = json.loads(body)
    rows = request["rows"]
    refused = [index for index in range(len(rows)) if chance.random() < action.share]
    if not refused:
        refused = [chance.randrange(len(rows))]
    others = [index for index in range(len(rows)) if index not in set(refused)]
    if action.stop_others or not others or not request.get("skipInvalidRows", False):
        return Refusal(action, refused, others, None)
    rest = request | {"rows": [rows[index] for index in others]}
    return Refusal(action, refused, others, json.dumps(rest).encode())


def answer(refusal: Refusal, passed_answer: bytes | None) -> bytes:
    """The body to answer with; `passed_answer` is that of the rows which went on."""
    errors = [_error(index, refusal.action.reason) for index in refusal.refused]
    if passed_answer is None:
        errors += [_error(index, "stopped") for index in refusal.passed]
    else:
        inner = json.loads(passed_answer).get("insertErrors") or []
        errors += [entry | {"index": refusal.passed[int(entry.get("index", 0))]} for entry in inner]
    return json.dumps({"kind": _KIND, "insertErrors": errors}).encode()


def _error(index: int, reason: str) -> dict[str, object]:
    message = "" if reason == "stopped" else "injected fault"
    return {"index": index, "errors": [{"reason": reason, "location": "", "message": message}]}
