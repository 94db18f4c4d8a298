"""Settings of the daemon: one table in code, properties files, and the checks that stop a start."""

from consumer.settings.findings import Finding, SettingsError, Severity
from consumer.settings.loading import load, look_up
from consumer.settings.model import PROJECT_ROOT, Settings
from consumer.settings.table import BACKENDS, Backend

__all__ = [
    "BACKENDS",
    "PROJECT_ROOT",
    "Backend",
    "Finding",
    "Settings",
    "SettingsError",
    "Severity",
    "load",
    "look_up",
]
