"""Messages that gRPC sends as they are, marked as packed.

gRPC's own gzip is zlib's at level 6, which nothing can change, and takes 30 times as long as igzip. Its core takes
messages that are packed already (C++ has them), but gRPC for Python offers no way to say so.
docs/decisions/appends-packed-by-igzip.md
"""

from dataclasses import dataclass
from typing import Any

from grpc._cython import cygrpc

_IS_PACKED = -(1 << 31)
"""GRPC_WRITE_INTERNAL_COMPRESS, as the signed number that Cython takes."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A message as gzip. Goes in a call with `grpc.Compression.Gzip` and without a serializer."""

    content: bytes


_send_message = cygrpc.SendMessageOperation


def _send_either(message: bytes | Packed, flags: int) -> Any:
    if type(message) is Packed:
        return _send_message(message.content, _IS_PACKED)
    return _send_message(message, flags)


def allow_packed() -> None:
    """To be called before the first message that is packed; other messages go as ever."""
    cygrpc.SendMessageOperation = _send_either
