"""The reference page of all settings, made from the tables: python -m consumer.settings.page > docs/settings.md"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from consumer.settings.kcl_table import KCL_CLIENT_PREFIXES, KCL_KEYS, KCL_VERSION, KclKey
from consumer.settings.table import BACKENDS, SETTINGS, Setting

_HEAD = """\
# Settings

This page is made from the tables in `consumer/settings` by `python -m consumer.settings.page > docs/settings.md`.

A key can be set in four places; the later one wins:

1. the default below,
2. `properties/BACKEND.properties`, or the file named by `--properties`,
3. the environment: `CONSUMER_SET_` and the key with each dot as two underscores, in any case
   (`CONSUMER_SET_CHUNK__WINDOW=30s` sets `chunk.window`),
4. `--set key=value`.

Durations have a unit (`500ms`, `60s`, `5m`, `1h`), sizes may have one (`64MiB`, `8MB`). Relative paths start at the
project's root. `bin/check BACKEND` reports every mistake with its line; `bin/start BACKEND --print-effective` shows
each value and where it came from.
"""

_CLIENTS = ", ".join(f"`{prefix}`" for prefix in KCL_CLIENT_PREFIXES)
_KCL_HEAD = f"""\
## The KCL's own keys

Every key that the KCL {KCL_VERSION} knows, under the KCL's own name. The KCL by itself ignores a key that it does not
know and takes 0 or false for "not set" in many of them; here both are refused with a message. *Default* is what this
daemon sets, or, in parentheses, what the KCL does when the key is not set.

Keys that start with {_CLIENTS} go to the KCL's AWS clients as they are.
"""


def page() -> str:
    """The whole page in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## The daemon's own keys"
    yield ""
    yield from _table(("key", "value", "default", "meaning"), map(_own_row, SETTINGS.values()))
    yield _KCL_HEAD
    operators = [key for key in KCL_KEYS.values() if key.owner == "operator"]
    yield from _table(("key", "value", "default", "meaning and traps"), map(_kcl_row, operators))
    yield "## The KCL's keys that cannot be set"
    yield ""
    refused = [key for key in KCL_KEYS.values() if key.owner != "operator"]
    yield from _table(("key", "why"), ((f"`{key.name}`", key.meaning) for key in refused))


def _own_row(setting: Setting) -> tuple[str, ...]:
    only = "" if len(setting.backends) > 1 else f" ({', '.join(setting.backends)} only)"
    default = "**mandatory**" if setting.mandatory else _default(setting)
    return (f"`{setting.name}`{only}", setting.kind.describe(), default, setting.meaning)


def _kcl_row(key: KclKey) -> tuple[str, ...]:
    default = _default(key) or (f"({key.kcl_default})" if key.kcl_default else "")
    zero = f"**0 or false means {key.zero}**" if key.zero is not None else ""
    trap = f"**{key.trap}**" if key.trap else ""
    return (f"`{key.name}`", key.kind.describe(), default, ". ".join(filter(None, (key.meaning, trap, zero))))


def _default(row: Setting | KclKey) -> str:
    """One default, or one for each backend where they differ."""
    if row.default is None or isinstance(row.default, str):
        return "" if row.default is None else f"`{row.default}`"
    return ", ".join(f"`{text}` ({name})" for name in BACKENDS if (text := row.default_for(name)) is not None)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield _row(heads)
    yield _row(("---",) * len(heads))
    yield from map(_row, rows)
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '\\|').replace('<', '\\<') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
