"""Messages with records, as the KCL writes them and as it does not."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

RECORD = (
    b'{"data":"bWVvdw==","partitionKey":"cat","sequenceNumber":"456","subSequenceNumber":2,'
    b'"approximateArrivalTimestamp":1476889707000,"action":"record"}'
)
LINE = b'{"action":"processRecords","millisBehindLatest":3,"records":[' + RECORD + b"]}\n"

sizes = st.integers(0, 100) | st.sampled_from([22, 23, 24, 25, 26, 47, 48, 49, 71, 72, 73, 700])


@st.composite
def some_bytes(draw: st.DrawFn) -> bytes:
    """Any; long ones too, around the blocks of 24 bytes or 32 characters that are decoded at once."""
    few = draw(st.binary(max_size=12))
    size = draw(sizes)
    return (few * size)[:size] if few else bytes(size)


keys = st.text(max_size=12) | st.text(
    '"\\/\0\x1f\x7f\n\té\u2028\ud83d\ude00\ud800\udfff\U0001f600', max_size=6
)
"""As Java's texts may be: with control characters, and with halves of surrogate pairs."""

LAST_ARRIVAL_MS = 7_258_118_399_999
"""Of the year 2199."""

sequences = st.integers(0, 10**56).map(str)


@st.composite
def kcl_records(draw: st.DrawFn) -> dict[str, Any]:
    """A record with its members in the order of tests/functional/harness/kcl.py."""
    return {
        "action": "record",
        "data": base64.b64encode(draw(some_bytes())).decode(),
        "partitionKey": draw(keys),
        "sequenceNumber": draw(sequences),
        "subSequenceNumber": draw(st.integers(0, 3) | st.integers(0, 10**18 - 1)),
        "approximateArrivalTimestamp": draw(st.integers(0, 2 * 10**12) | st.integers(0, LAST_ARRIVAL_MS)),
    }


def as_message(records: Sequence[dict[str, Any]], behind_ms: int | None) -> dict[str, Any]:
    return {"action": "processRecords", "records": list(records), "millisBehindLatest": behind_ms}


def as_line(message: dict[str, Any], *, ascii_only: bool = False, compact: bool = True) -> bytes:
    """With a line end, and in ASCII where the texts are no Unicode."""
    separators = (",", ":") if compact else None
    try:
        return json.dumps(message, ensure_ascii=ascii_only, separators=separators).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(message, separators=separators).encode() + b"\n"


behind = st.none() | st.integers(0, 10**18 - 1)
kcl_lines = st.builds(
    lambda records, behind_ms: as_line(as_message(records, behind_ms)),
    st.lists(kcl_records(), max_size=6),
    behind,
)

unknown_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def shuffled(draw: st.DrawFn, members: dict[str, Any]) -> dict[str, Any]:
    """Its members in any order, some left out, and unknown ones among them."""
    unknown = draw(st.dictionaries(st.text(max_size=5), unknown_values, max_size=2))
    names = draw(st.permutations([*members, *(name for name in unknown if name not in members)]))
    left_out = draw(st.sampled_from([None] * 9 + names))
    return {name: members.get(name, unknown.get(name)) for name in names if name != left_out}


@st.composite
def odd_lines(draw: st.DrawFn) -> bytes:
    """Messages that say the same, but not as the KCL writes them."""
    records = [draw(shuffled(one)) for one in draw(st.lists(kcl_records(), max_size=4))]
    message = draw(shuffled(as_message(records, draw(behind | st.integers()))))
    return as_line(message, ascii_only=draw(st.booleans()), compact=draw(st.integers(0, 5)) > 0)
