"""Messages of AWS's event streams: application/vnd.amazon.eventstream.

https://smithy.io/2.0/aws/amazon-eventstream.html: a prelude of both lengths and its CRC, headers, the payload, and the
CRC of all that.
"""

import struct
import zlib
from collections.abc import Mapping

_PRELUDE_BYTES = 12
_CRC_BYTES = 4
_STRING = 7
"""The type of a header's value; the others are not written here."""


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message whose headers are all texts."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    length = _PRELUDE_BYTES + len(head) + len(payload) + _CRC_BYTES
    prelude = struct.pack(">II", length, len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))


def event(kind: str, payload: bytes) -> bytes:
    """One event of a service that speaks JSON."""
    headers = {
        ":event-type": kind,
        ":content-type": "application/x-amz-json-1.1",
        ":message-type": "event",
    }
    return encode(headers, payload)


def _header(name: str, value: str) -> bytes:
    name_bytes, value_bytes = name.encode(), value.encode()
    return (
        struct.pack(f">B{len(name_bytes)}sBH", len(name_bytes), name_bytes, _STRING, len(value_bytes))
        + value_bytes
    )
