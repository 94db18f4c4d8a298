"""NDJSON bodies: one record a line, bytes as they came."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from consumer.domain.dead_letters import Rejection
from consumer.sinks.payloads import NotJson, are_json_lines, find_invalid_json, strict_json


@dataclass(frozen=True, slots=True)
class Lines:
    """One line for each payload without its line end, None where it is among the rejections; and all of them
    together, each with its line end."""

    lines: Sequence[bytes | None]
    text: bytes
    rejections: Sequence[Rejection]


def are_lines(text: bytearray, sizes: "array[int]", *, validate_json: bool) -> bool:
    """Whether payloads of these sizes, which stand in `text` with a line end after each, are lines as they are; False
    where it takes `lines_of` to find out."""
    if validate_json:
        return are_json_lines(text, sizes)
    return text.count(b"\n") == len(sizes) and b"\r" not in text


def lines_of(payloads: Sequence[bytes], *, validate_json: bool) -> Lines:
    """Check payloads and keep each on one line.

    A valid JSON payload holds raw line ends between tokens only, so taking them out changes no value. Without
    validation a payload that is not JSON may end in one line end; one that holds more is rejected, since it would
    be read back as several records. A lone carriage return counts: Hadoop's readers, Athena's among them, end a
    line there.
    """
    text = join_lines(payloads)
    rejections = find_invalid_json(payloads, text) if validate_json else []
    if not rejections and not _any_line_end(payloads):
        return Lines(payloads, text, ())
    lines: list[bytes | None] = list(payloads)
    rejected = {rejection.index for rejection in rejections}
    for index, payload in enumerate(payloads):
        if index in rejected:
            lines[index] = None
        elif _breaks_the_line(payload):
            line = _on_one_line(payload, is_json=validate_json)
            lines[index] = line
            if line is None:
                rejections.append(Rejection(index, "raw_newline", "holds raw line ends and is not JSON"))
    return Lines(lines, join_lines([line for line in lines if line is not None]), rejections)


def join_lines(lines: Sequence[bytes]) -> bytes:
    """Every line with its end."""
    return b"\n".join([*lines, b""])


def _any_line_end(payloads: Sequence[bytes]) -> bool:
    joined = b"".join(payloads)
    return b"\n" in joined or b"\r" in joined


def _breaks_the_line(payload: bytes) -> bool:
    return b"\n" in payload or b"\r" in payload


def _on_one_line(payload: bytes, *, is_json: bool) -> bytes | None:
    if is_json or _is_json(payload):
        return payload.translate(None, b"\r\n")
    body = payload.removesuffix(b"\n").removesuffix(b"\r")
    return None if _breaks_the_line(body) else body


def _is_json(payload: bytes) -> bool:
    try:
        strict_json(payload)
    except NotJson:
        return False
    return True
