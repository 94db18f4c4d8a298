"""The table of settings, below everything else."""

from __future__ import annotations

import re

from consumer.daemon.page.elements import table
from consumer.daemon.page.markup import Markup
from consumer.settings import Settings
from consumer.settings.kcl_table import KCL_KEYS
from consumer.settings.model import DEFAULT_ORIGIN
from consumer.settings.table import SETTINGS
from consumer.settings.values import Text

_SECRET = re.compile(r"((?:password|secret|token|credential|key)[\w.-]*[=:])\S+", re.IGNORECASE)


def settings_table(settings: Settings) -> Markup:
    """Those in force. What may be a secret is left out."""
    return table(
        "Settings in force",
        ("Setting", "Value", "From"),
        [
            (key, _shown(settings, key), settings.origins.get(key, DEFAULT_ORIGIN))
            for key in sorted(settings.values, key=str.lower)
        ],
    )


def _shown(settings: Settings, key: str) -> str:
    text = settings.texts.get(key, str(settings.values[key]))
    row = SETTINGS.get(key) or KCL_KEYS.get(key)
    if settings.origins.get(key, DEFAULT_ORIGIN) == DEFAULT_ORIGIN:
        return text
    if row is None or (isinstance(row.kind, Text) and not row.kind.shown):
        return "not shown"
    return _SECRET.sub(r"\1•••", text)
