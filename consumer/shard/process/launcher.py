"""`python3 -S -s -m consumer.shard.process.launcher`: what the KCL starts for each shard where there is a fork server.

It hands its descriptors over and then becomes a shell of some hundred kilobytes, which stands in for the shard process
towards the JVM: it passes SIGTERM on and ends as the shard process ends. Where nothing can be handed over it becomes
the shard process itself.
"""

import os
import socket
import sys
from typing import NoReturn

from consumer.domain.names import FORK_SERVER_VARIABLE
from consumer.shard.process.handover import GO, READY, Request, is_of_this_user, send_request

PATIENCE_SECONDS = 5.0
"""For each step of the fork server, which may be starting anew; then this shard does without it."""

_SHELL = "/bin/sh"
_STAND_IN = """
asked=
trap '' INT
trap 'asked=1; echo' TERM
until read -r code; do
    [ "$asked" ] || exit 70
    asked=
done
exit "$code"
"""
"""Its standard input and output are the connection. `read` ends with the status, with the end of the connection, or
after a signal; 70 stands for a status that nobody is left to tell."""


def main() -> NoReturn:
    path = os.environ.get(FORK_SERVER_VARIABLE)
    connection = hand_over(path) if path else None
    if connection is None:
        os.execv(sys.executable, [sys.executable, "-m", "consumer.shard"])
    os.dup2(connection, 0)
    os.dup2(connection, 1)
    os.execv(_SHELL, [_SHELL, "-c", _STAND_IN, "shard-launcher"])


def hand_over(path: str) -> int | None:
    """The descriptor of the connection to a shard process that has our descriptors; None where there is none."""
    if not os.access(_SHELL, os.X_OK):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(path)
            if not is_of_this_user(connection):
                return None
            send_request(connection, _request())
            if connection.recv(1) != READY:
                return None
            connection.sendall(GO)
        except OSError:
            return None
        connection.settimeout(None)
        return connection.detach()


def _request() -> Request:
    umask = os.umask(0o077)
    os.umask(umask)
    parent = os.pidfd_open(os.getppid())
    folder = os.getcwdb()  # noqa: PTH109 - without pathlib the launcher starts sooner
    return Request(folder, umask, dict(os.environb), (0, 1, 2, parent))


if __name__ == "__main__":
    main()
