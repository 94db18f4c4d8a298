"""What the checker has to say about settings.

SettingsError(Exception)   at least one fault; carries every finding of the run
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from consumer.settings.values import printable


class Severity(enum.StrEnum):
    """An error stops the start; a warning names a costly or dangerous choice."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault or warning. `file` names where it was set (a path, `--set`, an environment variable), None
    when it was set nowhere; `line` counts from one."""

    severity: Severity
    key: str
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else self.file if self.line is None else f"{self.file}:{self.line}"
        severity = self.severity if self.severity is Severity.WARNING else ""
        parts = (place, severity, printable(self.key), self.message)
        return ": ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One key as it was set somewhere."""

    key: str
    text: str
    place: str
    line: int | None = None

    def error(self, message: str) -> Finding:
        return self._finding(Severity.ERROR, message)

    def warning(self, message: str) -> Finding:
        return self._finding(Severity.WARNING, message)

    @property
    def origin(self) -> str:
        return self.place if self.line is None else f"{self.place}:{self.line}"

    def _finding(self, severity: Severity, message: str) -> Finding:
        return Finding(severity=severity, key=self.key, message=message, file=self.place, line=self.line)


class SettingsError(Exception):
    """The settings cannot be used; `findings` holds all of them, errors and warnings, in order."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))
