"""The JVM's AOT cache: its classes as it keeps them in memory, and what its compilers know of hot methods.

`bin/setup` makes it, by running the KCL for some seconds (training/). It lies beside the Python packages, and whoever
could change it could change the KCL as well. The JVM itself looks whether it fits the jars, the Java, the heap and the
options, and starts without it where it does not; but it believes what the file holds, so that is compared here.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

import msgspec

_FILE = Path(sys.prefix) / "lib/consumer-jvm.aot"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Unusable(Exception):
    """Why there is no cache for this start, or none that may be believed."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What `bin/setup` writes beside the cache: the digest of its content and what it was made for; `error` in its
    place where it could not be made."""

    content: str = ""
    java: str = ""
    jars: str = ""
    error: str = ""


def file() -> Path:
    """Where the cache belongs."""
    return _FILE


def usable(java: Path, jars: Path, *, cache: Path | None = None) -> Path:
    """The cache, for this java executable and this folder of jars. Raises Unusable."""
    path = cache or _FILE
    try:
        made = msgspec.json.decode(note_of(path).read_bytes(), type=Made)
        if made.error:
            raise Unusable(f"bin/setup could not make it: {made.error}")
        _refuse_foreign(path, jars)
        if made.java != java_digest(java):
            raise Unusable(f"it was made for another Java than {java}")
        if made.jars != jars_digest(jars):
            raise Unusable(f"it was made for other jars than those in {jars}")
        if made.content != _content_digest(path):
            raise Unusable(f"{path} is damaged")
    except FileNotFoundError as error:
        raise Unusable(f"there is no {error.filename}") from error
    except (OSError, msgspec.DecodeError) as error:
        raise Unusable(f"{path}: {error}") from error
    return path


def publish(made: Path, java: Path, jars: Path, *, cache: Path | None = None) -> None:
    """Puts a cache that was made in the same file system in its place. Raises OSError."""
    path = cache or _FILE
    made.chmod(0o644)
    note = Made(content=_content_digest(made), java=java_digest(java), jars=jars_digest(jars))
    made.replace(path)  # until the note follows, its digest is another's
    _write(note_of(path), note)


def give_up(error: str, *, cache: Path | None = None) -> None:
    """Writes that there is none, and why. Raises OSError."""
    path = cache or _FILE
    _write(note_of(path), Made(error=error))
    path.unlink(missing_ok=True)


def note_of(cache: Path) -> Path:
    return cache.with_suffix(".json")


def java_digest(java: Path) -> str:
    """Of the runtime that an executable belongs to."""
    home = java.resolve().parent.parent
    library = home / "lib/server/libjvm.so"
    found = library.stat()
    return _digest((home / "release").read_bytes(), f"{home} {found.st_size}".encode())


def jars_digest(jars: Path) -> str:
    """By what the JVM goes by: their places, sizes and times."""
    found = [(path, path.stat()) for path in sorted(jars.glob("*.jar"))]
    return _digest(*(f"{path} {its.st_size} {int(its.st_mtime)}".encode() for path, its in found))


def _refuse_foreign(path: Path, jars: Path) -> None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Unusable(f"{path} is not a regular file")
    if found.st_uid not in (0, os.geteuid(), jars.stat().st_uid):
        raise Unusable(f"{path} belongs to user {found.st_uid}, and the jars do not")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise Unusable(f"others may write to {path}")


def _content_digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _write(path: Path, note: Made) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(note))
    temporary.replace(path)
