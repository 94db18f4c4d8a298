"""The embedded stack answers on the loopback interface, where a proxy of the environment cannot reach it."""

import socket
from collections.abc import Mapping

HOST = "127.0.0.1"


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with which it is asked directly, and everything else as before."""
    present = environment.get("no_proxy") or environment.get("NO_PROXY")
    hosts = f"{present},{HOST}" if present else HOST
    return {"no_proxy": hosts, "NO_PROXY": hosts}


def free_port() -> int:
    """One that nobody has at this moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def url(port: int | str) -> str:
    return f"http://{HOST}:{port}/"
