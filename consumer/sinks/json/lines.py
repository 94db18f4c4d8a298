"""NDJSON bodies: one record a line, bytes as they came."""

from array import array
from collections.abc import Buffer, Iterator, Sequence

from consumer.domain.dead_letters import Rejection
from consumer.sinks.json.judge import Judge

GZIP_WINDOW_BITS = 31
"""zlib's way to ask for a gzip header; the compressor leaves time and file name out of it."""

_LINE_ENDS = b"\r\n"


class Lines:
    """Keeps each payload on one line.

    A valid JSON payload holds raw line ends between tokens only, so taking them out changes no value. Without
    validation a payload that is not JSON may end in one line end; one that holds more is rejected, since it would
    be read back as several records. A lone carriage return counts: Hadoop's readers, Athena's among them, end a
    line there.
    """

    def __init__(self, judge: Judge, *, validate_json: bool) -> None:
        self._judge = judge
        self._one_line = self._json_line if validate_json else self._any_line
        self._odd = judge.unsure if validate_json else _with_line_ends

    def of(self, text: bytearray, sizes: "array[int]") -> Iterator[tuple[Buffer, Sequence[Rejection]]]:
        """Pieces of a body, made of payloads of these sizes, which stand in `text` with a line end after each; and with
        each piece the payloads among them that have no line, by their index."""
        kept = 0
        view = memoryview(text)
        for index, begin in self._odd(text, sizes):
            end = begin + sizes[index]
            payload = bytes(view[begin:end])
            line = self._one_line(payload, index)
            if isinstance(line, bytes) and len(line) == len(payload):
                continue
            if kept < begin:
                yield view[kept:begin], ()
            kept = end + 1
            yield (line + b"\n", ()) if isinstance(line, bytes) else (b"", (line,))
        if kept == 0:
            yield text, ()
        elif kept < len(text):
            yield view[kept:], ()

    def _json_line(self, payload: bytes, index: int) -> bytes | Rejection:
        return self._judge.rejection(payload, index) or on_one_line(payload)

    def _any_line(self, payload: bytes, index: int) -> bytes | Rejection:
        if self._judge.fault(payload) is None:
            return on_one_line(payload)
        body = payload.removesuffix(b"\n").removesuffix(b"\r")
        if _has_line_end(body):
            return Rejection(index, "raw_newline", "holds raw line ends and is not JSON")
        return body


def on_one_line(value: bytes) -> bytes:
    """A JSON value without the line ends between its tokens."""
    return value.translate(None, _LINE_ENDS) if _has_line_end(value) else value


def join_lines(lines: Sequence[bytes]) -> bytes:
    """Every line with its end."""
    return b"\n".join([*lines, b""])


def _has_line_end(payload: bytes) -> bool:
    return b"\n" in payload or b"\r" in payload


def _with_line_ends(text: bytearray, sizes: "array[int]") -> Iterator[tuple[int, int]]:
    """As Judge.unsure: the payloads that hold a line end."""
    if text.count(b"\n") == len(sizes) and b"\r" not in text:
        return
    begin = 0
    for index, size in enumerate(sizes):
        end = begin + size
        if text.find(b"\n", begin, end) >= 0 or text.find(b"\r", begin, end) >= 0:
            yield index, begin
        begin = end + 1
