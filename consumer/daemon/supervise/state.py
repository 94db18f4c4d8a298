"""The directory in which one application keeps its lock, its rendered files, the KCL's log and its status."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from consumer.daemon.errors import StartFailed
from consumer.daemon.supervise.own_directory import NotOurs, open_own, open_own_directory
from consumer.settings import Settings

_SUN_PATH_BYTES = 107
"""Linux's sockaddr_un holds 108 bytes with the final zero."""

_SETTING = "worker.state_dir"
_EVENTS = "events"
_FORK_SERVER = "fork-server"
_LAUNCHERS_WAITING = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDirectory:
    """A locked state directory. `events_path` is what shard processes send to; it fits a socket address."""

    path: Path
    events_path: str
    descriptor: int

    @property
    def settings_file(self) -> Path:
        return self.path / "settings.json"

    @property
    def java_options(self) -> Path:
        return self.path / "java.options"

    @property
    def kcl_properties(self) -> Path:
        return self.path / "kcl.properties"

    @property
    def logback_file(self) -> Path:
        return self.path / "logback.xml"

    @property
    def kcl_log(self) -> Path:
        return self.path / "kcl.log"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def fork_server_path(self) -> str:
        """Where launchers find the fork server; it fits a socket address."""
        return _socket_path(self.path, self.descriptor, _FORK_SERVER)

    def write(self, path: Path, content: bytes) -> None:
        """Replaces a file of this directory at once: a reader sees the old content or the new, and nobody else sees
        any. Raises OSError."""
        temporary = f"{path.name}.tmp"
        self._remove(temporary)  # of a process that was killed meanwhile
        file = open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, directory=self.descriptor)
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
        os.replace(temporary, path.name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def listen(self) -> socket.socket:
        """The datagram socket of the events, bound anew; the lock makes sure that nobody else listens there."""
        return self._bound(_EVENTS, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def listen_for_launchers(self) -> socket.socket:
        """The stream socket of the fork server, bound anew, for this user alone."""
        listener = self._bound(_FORK_SERVER, socket.SOCK_STREAM)
        listener.listen(_LAUNCHERS_WAITING)
        return listener

    def _bound(self, name: str, kind: int) -> socket.socket:
        self._remove(name)
        bound = socket.socket(socket.AF_UNIX, kind)
        path = Path(f"/proc/self/fd/{self.descriptor}/{name}")
        bound.bind(str(path))
        path.chmod(0o600)
        return bound

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)


def directory_of(settings: Settings, *, worker_id: str) -> Path:
    """Where the application keeps its state; `supervisor.lock = worker` gives each worker a directory."""
    name = settings.text("applicationName")
    if settings.text("supervisor.lock") == "worker":
        name = f"{name}@{worker_id}"
    return settings.path("worker.state_dir") / name


@contextmanager
def locked(path: Path, *, warn: Callable[[str], None]) -> Iterator[StateDirectory]:
    """The state directory, made if need be and held by a lock that ends with this process.

    `warn` gets a line when others could reach it and now cannot. Raises StartFailed when it cannot be written, when
    it is another user's, or when another supervisor holds it.
    """
    with ExitStack() as stack:
        try:
            descriptor = open_own_directory(path, warn=lambda line: warn(f"{_SETTING}: {line}"))
            stack.callback(os.close, descriptor)
            lock = open_own("lock", os.O_RDWR | os.O_CREAT, directory=descriptor)
            stack.callback(os.close, lock)
        except NotOurs as error:
            raise StartFailed(f"{_SETTING}: {error}") from error
        except OSError as error:
            raise StartFailed(f"{_SETTING}: cannot write to {path}: {error.strerror}") from error
        _acquire(lock, path)
        yield StateDirectory(
            path=path, events_path=_socket_path(path, descriptor, _EVENTS), descriptor=descriptor
        )


def _acquire(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "?"
        raise StartFailed(
            f"another supervisor (process {holder}) runs this application on this host, in {path}; "
            f"a second worker needs a worker.id of its own and supervisor.lock = worker"
        ) from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _socket_path(path: Path, descriptor: int, name: str) -> str:
    """A path too long for a socket address is reached through our own descriptor of the directory."""
    direct = str(path / name)
    if len(os.fsencode(direct)) <= _SUN_PATH_BYTES:
        return direct
    return f"/proc/{os.getpid()}/fd/{descriptor}/{name}"
