"""A directory in which nobody but this user and root can change anything, and its files.

What lies there is obeyed: the settings name endpoints to which credentials go, the sockets take what shard processes
report, the KCL's log is written wherever its name points. So nobody else may have put it there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from consumer.domain.names import TAPS_FOLDER

_ROOT = 0
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_ANYTHING = stat.S_IRWXG | stat.S_IRWXO
_OWN = stat.S_IRWXU


class NotOurs(Exception):
    """Somebody else can change what lies there, or has put it there: one line that says who, and what to do."""


def refuse_foreign(path: Path) -> None:
    """Raises NotOurs for what `open_own_directory` will refuse by its name, and OSError where that cannot be seen.
    Changes nothing."""
    if path.parent.exists():
        _check_parent(path.parent)
    with suppress(FileNotFoundError):
        _check_owner(path, path.lstat())


def open_own_directory(path: Path, *, warn: Callable[[str], None]) -> int:
    """The descriptor of the directory, which is made if it is not there.

    What is ours and open to others is closed to them, and `warn` gets a line for it. Raises NotOurs or OSError.
    """
    _make(path.parent)
    _check_parent(path.parent)
    _close_parent(path.parent, warn)
    _warn_of_parents(path, warn)
    with suppress(FileExistsError):
        path.mkdir(mode=_OWN)
    _check_owner(path, path.lstat())
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _take(path, descriptor, warn)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_own(name: str, flags: int, *, directory: int) -> int:
    """The descriptor of a file in such a directory, for this user alone if it is made; no link is followed."""
    return os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=directory)


def _make(path: Path) -> None:
    """With what lies above it, open to nobody else: pathlib's `parents` leaves that to the umask."""
    if path.exists():
        return
    _make(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=_OWN)


def _check_parent(path: Path) -> None:
    """Who owns it can put another directory in the place of ours, and who made a link to it can move the link."""
    for found in (path.lstat(), path.stat()):
        if found.st_uid not in (_ROOT, os.geteuid()):
            what = "is a symbolic link of" if stat.S_ISLNK(found.st_mode) else "belongs to"
            raise NotOurs(f"{path} {what} user {found.st_uid}, {_advice()}")


def _close_parent(path: Path, warn: Callable[[str], None]) -> None:
    found = path.stat()
    if _may_be_moved(found, by=_OTHERS_MAY_WRITE) and found.st_uid == os.geteuid():
        path.chmod(_OWN)
        warn(_closed(path, found))


def _warn_of_parents(path: Path, warn: Callable[[str], None]) -> None:
    """What is not ours to close is told. A group that may write further up is the choice of whoever made that."""
    for parent in path.parents:
        found = parent.stat()
        if _may_be_moved(found, by=stat.S_IWOTH):
            warn(
                f"anybody may write to {parent} (mode {stat.S_IMODE(found.st_mode):04o}), and so put another directory"
                f" in the place of {path}: take that right away"
            )


def _may_be_moved(found: os.stat_result, *, by: int) -> bool:
    """Whether what is in a directory can be moved by those with a bit of the mode. Where the sticky bit is set, as in
    /tmp, only its owner can."""
    return bool(found.st_mode & by) and not found.st_mode & stat.S_ISVTX


def _check_owner(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotOurs(f"{path} is a symbolic link: name the directory itself, or remove the link")
    if found.st_uid != os.geteuid():
        raise NotOurs(f"{path} belongs to user {found.st_uid}, {_advice()}")


def _take(path: Path, descriptor: int, warn: Callable[[str], None]) -> None:
    found = os.fstat(descriptor)
    _check_owner(path, found)
    if found.st_mode & _OTHERS_MAY_ANYTHING:
        os.fchmod(descriptor, _OWN)
        warn(_closed(path, found))
    _check_files(path, descriptor, were_safe=not found.st_mode & _OTHERS_MAY_WRITE)


def _check_files(path: Path, descriptor: int, *, were_safe: bool) -> None:
    """Refuses what others have left in a directory that is closed to them by now: links, and files that are theirs, or
    that have a second name where they could make one."""
    for name in os.listdir(descriptor):
        with suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            is_folder = stat.S_ISDIR(found.st_mode)
            if is_folder and name != TAPS_FOLDER:
                continue
            _check_owner(path / name, found)
            if not were_safe and found.st_nlink > 1 and not is_folder:
                raise NotOurs(f"{path / name} has another name elsewhere (a hard link): remove it")
            if found.st_mode & _OTHERS_MAY_WRITE:
                os.chmod(name, stat.S_IMODE(found.st_mode) & ~_OTHERS_MAY_WRITE, dir_fd=descriptor)


def _closed(path: Path, found: os.stat_result) -> str:
    return f"{path} was open to others (mode {stat.S_IMODE(found.st_mode):04o}) and is now this user's alone (0700)"


def _advice() -> str:
    return f"and this is user {os.geteuid()}: give it to this user with all that is in it, or name another"
