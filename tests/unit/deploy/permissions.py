"""The table of docs/permissions.md, made of the rights: python -m tests.unit.deploy.permissions prints it."""

import sys
from collections.abc import Iterator

from consumer.daemon.prepare.rights import RIGHTS, Right


def table() -> str:
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield "| needed | on | for | granted by |"
    yield "|---|---|---|---|"
    for right in RIGHTS:
        actions = ", ".join(f"`{action}`" for action in right.actions)
        only = f" ({right.backends[0]} only)" if len(right.backends) == 1 else ""
        place = f"deploy/{right.granted_by}" if right.granted_by.endswith(".json") else right.granted_by
        yield f"| {actions} | {right.on} | {_why(right)}{only} | `{place}` |"


def _why(right: Right) -> str:
    if not right.keys:
        return right.outside or "always"
    values = " or ".join(f"`{value}`" for value in right.values)
    return " or ".join(f"`{key}`{f' = {values}' if values else ''}" for key in right.keys)


if __name__ == "__main__":
    sys.stdout.write(table())
