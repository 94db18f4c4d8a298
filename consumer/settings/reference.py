"""Pages about settings, made from the table: help, and the settings of a run."""

from __future__ import annotations

from collections.abc import Iterator

from consumer.settings.kcl_table import KCL_KEYS, KCL_VERSION, KclKey
from consumer.settings.model import Settings
from consumer.settings.table import SETTINGS, Backend, Setting


def help_lines(backend: Backend) -> Iterator[str]:
    """What can be set for a backend: name and default, then type and meaning."""
    yield f"Settings of {backend}: the daemon's own"
    for setting in SETTINGS.values():
        if backend in setting.backends:
            yield from _entry(setting, backend)
    yield ""
    yield f"The keys of the KCL {KCL_VERSION}"
    for key in KCL_KEYS.values():
        if key.owner == "operator":
            yield from _entry(key, backend)


def effective_lines(settings: Settings) -> Iterator[str]:
    """Every setting that has a value, with its origin."""
    width = max(map(len, settings.values))
    for key, value in settings.values.items():
        text = settings.texts.get(key, str(value))
        yield f"{key:{width}} = {text}  ({settings.origins.get(key, 'default')})"


def _entry(row: Setting | KclKey, backend: Backend) -> Iterator[str]:
    default = row.default_for(backend)
    mandatory = isinstance(row, Setting) and row.mandatory
    yield (
        f"  {row.name} = {default}"
        if default is not None
        else f"  {row.name}{' (mandatory)' if mandatory else ''}"
    )
    yield f"      {row.kind.describe()}: {row.meaning}"
    if isinstance(row, KclKey) and row.default is None and row.kcl_default:
        yield f"      the KCL's default: {row.kcl_default}"
    if isinstance(row, KclKey) and row.trap:
        yield f"      {row.trap}"
    if isinstance(row, KclKey) and row.zero is not None:
        yield f"      zero or false means {row.zero}"
