"""Payloads for tests: JSON texts in every spelling, and bytes that are nearly JSON."""

import json
from typing import Any, NoReturn

from hypothesis import strategies as st

# Half a surrogate pair is a str in Python and can be written in JSON as an escape, but not in UTF-8.
texts = st.text(max_size=8) | st.text(alphabet='"\\/\n\t\u2028\ud800\udfff\U0001f600\0aé', max_size=6)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)

values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def utf8_or_escapes(value: Any, *, indent: int | None, separators: tuple[str, str]) -> bytes:
    """As UTF-8 where the texts can be; as escapes otherwise."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators).encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, separators=separators).encode()


@st.composite
def spelled(draw: st.DrawFn, value: st.SearchStrategy[Any]) -> bytes:
    """A JSON text of one of the values, with white space between its tokens now and then."""
    made = draw(value)
    if draw(st.booleans()):
        text = json.dumps(made, indent=draw(st.sampled_from([None, 0, 2]))).encode()
    else:
        separators = draw(st.sampled_from([(",", ":"), (" ,\r\n", "\t: ")]))
        text = utf8_or_escapes(made, indent=None, separators=separators)
    around = st.sampled_from([b"", b" ", b"\n", b"\r\n\t"])
    return draw(around) + text + draw(around)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A JSON text with a few bytes taken out, put in or changed."""
    data = bytearray(draw(spelled(values)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        new = draw(
            st.sampled_from(
                [b"", b",", b'"', b"\\", b"\x00", b"\xff", b"\xc3", b"]", b"-", b"0", b"e", b"\n"]
            )
        )
        data[place : place + draw(st.integers(0, 2))] = new
    return bytes(data)


payloads = spelled(values) | mutated() | st.binary(max_size=12)


def is_json(data: bytes) -> bool:
    """The definition to agree with: one JSON value, in UTF-8, without Python's NaN and Infinity."""
    try:
        json.loads(data.decode("utf-8", "strict"), parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
