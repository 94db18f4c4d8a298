"""What a demo shows of what it has delivered: commands to copy, each with what it prints."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from consumer.domain.excerpts import excerpt
from consumer.local.child import ROOT
from consumer.local.look import Held, answer_of, lines_of, table

_WIDTH = 118
_INDENT = " " * 4


def command(name: str) -> str:
    """How a command of bin/ is called from the working directory."""
    return f"bin/{name}" if Path.cwd() == ROOT else shlex.quote(str(ROOT / "bin" / name))


def samples(source: Held, *, prefix: str, queries: Sequence[str]) -> Iterator[str]:
    """Lines: the first object under the prefix, if there is one, and the answers of the queries."""
    local = command("local")
    listed = next(source.objects(prefix), None)
    if listed is not None:
        yield f"  {local} s3 ls {shlex.quote(prefix)} | head -n 1"
        yield f"{_INDENT}{listed}"
        yield f"  {local} s3 cat {shlex.quote(listed.key)} | head -n 1"
        yield _shown(lines_of(source, listed.key).partition(b"\n")[0].decode(errors="replace"))
    for sql in queries:
        yield f'  {local} sql "{sql}"'
        yield from map(_shown, table(*answer_of(source, sql)))


def _shown(line: str) -> str:
    return _INDENT + excerpt(line, _WIDTH - len(_INDENT))
