"""What a launcher and the fork server say to each other on a Unix stream socket.

The launcher sends a request: descriptors and where the shard process is to run. The forked process answers `READY`
before it touches any of them, and goes on only after `GO`. So a launcher that gives up before it has said `GO` can run
a shard process of its own: the forked one ends untouched, however late it comes. Once that has ended the fork server
tells its exit status, a line of decimal digits. What the launcher sends after `GO` stands for SIGTERM.

Nothing is imported here that does not come with Python: the launcher runs without site-packages.
"""

import array
import os
import socket
import struct
from dataclasses import dataclass

READY = b"?"
GO = b"!"

_LENGTH = struct.Struct("!I")
_PEER = struct.Struct("3i")
_DESCRIPTOR_BYTES = array.array("i").itemsize
_DESCRIPTORS = 4


class HandoverError(Exception):
    """The other side has gone away, or said something else."""


@dataclass(frozen=True, slots=True)
class Request:
    """`descriptors`: standard input, output and error, and a pidfd of the launcher's parent."""

    folder: bytes
    umask: int
    environment: dict[bytes, bytes]
    descriptors: tuple[int, int, int, int]


def send_request(connection: socket.socket, request: Request) -> None:
    """Raises OSError."""
    variables = (name + b"=" + value for name, value in request.environment.items())
    body = b"\0".join([request.folder, b"%o" % request.umask, *variables])
    socket.send_fds(connection, [_LENGTH.pack(len(body))], list(request.descriptors))
    connection.sendall(body)


def receive_request(connection: socket.socket) -> Request:
    """Raises OSError or HandoverError. The descriptors are ours to close."""
    header, ancillary, _, _ = connection.recvmsg(
        _LENGTH.size, socket.CMSG_SPACE(_DESCRIPTORS * _DESCRIPTOR_BYTES)
    )
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
    if len(header) != _LENGTH.size or len(descriptors) != _DESCRIPTORS:
        raise HandoverError("no request")
    folder, umask, *variables = _receive(connection, _LENGTH.unpack(header)[0]).split(b"\0")
    pairs = (variable.partition(b"=") for variable in variables)
    given, taken, told, parent = descriptors
    return Request(
        folder, int(umask, 8), {name: value for name, _, value in pairs}, (given, taken, told, parent)
    )


def is_of_this_user(connection: socket.socket) -> bool:
    """Whether the process at the other end belongs to our user, by the kernel's word."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(credentials)
    return bool(user == os.geteuid())


def _receive(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise HandoverError("the request breaks off")
        received += piece
    return bytes(received)
