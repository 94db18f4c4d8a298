"""A forked process on its way to be the shard process of one launcher."""

import os
from os import close
from socket import socket
from typing import NoReturn

from consumer.shard.process.handover import GO, READY, HandoverError, Request, receive_request
from consumer.shard.process.orphans import end_with_launcher

EXIT_FAILED = 70
_MOST_DESCRIPTORS = 2**31 - 1
_REQUEST_SECONDS = 5.0


def become_shard_process(connection: int) -> NoReturn:
    """Takes the launcher's place: descriptors, environment, directory. Ends quietly where the launcher has given up."""
    _close_all_but(connection)
    channel = socket(fileno=connection)
    request = _agreed(channel)
    if request is None:
        os._exit(0)
    _stand_in(request)
    end_with_launcher(channel.detach(), request.descriptors[3])

    from consumer.shard.process.entry import main

    main()


def _close_all_but(connection: int) -> None:
    """What the server holds for others; standard streams stay until there are better ones."""
    os.closerange(3, connection)
    os.closerange(connection + 1, _MOST_DESCRIPTORS)


def _agreed(channel: socket) -> Request | None:
    """The request, once the launcher has said that it goes on waiting."""
    try:
        channel.settimeout(_REQUEST_SECONDS)
        request = receive_request(channel)
        channel.settimeout(None)
        channel.sendall(READY)
        return request if channel.recv(1) == GO else None
    except (OSError, HandoverError):
        return None


def _stand_in(request: Request) -> None:
    for number, descriptor in enumerate(request.descriptors[:3]):
        os.dup2(descriptor, number)
        close(descriptor)
    os.environb.clear()
    os.environb.update(request.environment)
    os.umask(request.umask)
    os.chdir(request.folder)
