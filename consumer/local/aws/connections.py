"""hypercorn's connections, with the requests on them able to reset them."""

from typing import Any

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio import run, tcp_server

from consumer.local.faults.connection import connected


class Connection(tcp_server.TCPServer):
    """One accepted connection."""

    def __init__(self, app: Any, *arguments: Any) -> None:
        super().__init__(app, *arguments)
        asgi: Any = connected(app.app, self.writer.transport)
        self.app = ASGIWrapper(asgi)


def install() -> None:
    """Make hypercorn serve with the class above."""
    vars(run)["TCPServer"] = Connection
