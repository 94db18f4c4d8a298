"""The other daemons of this host: those that keep their state beside this one's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from consumer.daemon.page import told as tellings
from consumer.daemon.page.view import Peer
from consumer.settings import Settings

_MOST = 8
_MOST_BYTES = 4 * 1024 * 1024
_SILENT_SECONDS = 10.0
"""A daemon writes its status every second."""


def peers_beside(state_directory: Path, *, now: float) -> Iterator[Peer]:
    """Those that run and serve a page; what cannot be read is passed over."""
    beside = (path for path in sorted(state_directory.parent.glob("*/status.json")))
    others = [path.parent for path in beside if path.parent != state_directory]
    for directory in others[:_MOST]:
        try:
            peer = _peer(directory)
        except (OSError, msgspec.MsgspecError, KeyError, TypeError):
            continue
        if peer is not None and now - peer.told.updated_at < _SILENT_SECONDS:
            yield peer


def _peer(directory: Path) -> Peer | None:
    settings = Settings.parse(_content(directory / "settings.json"))
    port = settings.integer("http.port")
    if not port:
        return None
    told = tellings.read(_content(directory / "status.json"))
    return Peer(application=told.application, told=told, port=port)


def _content(path: Path) -> bytes:
    """Of a file of this user. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(path)
        return file.read(_MOST_BYTES)
