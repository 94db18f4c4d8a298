"""Bytes with small faults."""

from collections.abc import Sequence

from hypothesis import strategies as st

_FAULTS = (
    *(b"", b"\x00", b"\x1f", b"\x7f", b"\t", b"\n", b"\r", b" ", b'"', b"\\", b"/", b"=", b"+", b"-", b"_"),
    *(b"{", b"}", b"[", b"]", b",", b":", b"0", b"7", b".", b"e", b"E", b"A", b"f", b"n", b"u"),
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc2", b"\xc3\xa9", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xed\x9f\xbf"),
    *(b"\xef\xbb\xbf", b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80", b"\xf5", b"\xff"),
    *(rb"\"", rb"\/", rb"\u00e9", rb"\u0000", rb"\ud800", rb"\uDFFF", rb"\ud83d\ude00", rb"\x41", rb"\u12"),
    *(b"null", b"true", b"1e999", b"-0", b"01", b"1.0", b"1" * 19, b'"a":1,', b",,", b"{}", b"[[", b"]]"),
)


@st.composite
def mutated(
    draw: st.DrawFn, texts: st.SearchStrategy[bytes], *, faults: Sequence[bytes] = _FAULTS, most: int = 3
) -> bytes:
    """One of the texts with up to `most` bytes or pieces of it taken out, put in or changed."""
    data = bytearray(draw(texts))
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 2))] = draw(st.sampled_from(faults))
    if draw(st.integers(0, 9)) == 0:
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)
