"""The settings of one run: typed, frozen, and able to travel to shard processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from consumer.settings.findings import Finding
from consumer.settings.kcl_table import KCL_CLIENT_PREFIXES, KCL_KEYS
from consumer.settings.table import SETTINGS, Backend
from consumer.settings.values import Value

PROJECT_ROOT = Path(__file__).resolve().parents[2]
"""Relative paths in settings start here, wherever a command is called from."""

SHARED_KCL_KEYS = (
    "applicationName",
    "streamName",
    "streamArn",
    "regionName",
    "dynamoDBEndpoint",
    "retrievalMode",
    "shutdownGraceMillis",
)
"""The KCL's keys that a shard process is told; credentials providers and the rest stay with the JVM."""

DEFAULT_ORIGIN = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of one backend with its value.

    `values` holds the daemon's settings and the KCL's, typed: durations as float seconds, sizes as bytes; a
    setting that is unset is absent. `texts` holds
    values as they were written, `kcl` those of them that go to the KCL's file. `origins` tells for
    each key where its value came from ("default", a file and line, an environment variable, `--set`).
    """

    backend: Backend
    values: Mapping[str, Value]
    kcl: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        for name in ("values", "kcl", "texts", "origins"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __getitem__(self, key: str) -> Any:
        """The value, None when the setting is unset; a key that no backend has raises KeyError."""
        value = self.values.get(key)
        if value is None and not is_known(key):
            raise KeyError(key)
        return value

    def text(self, key: str) -> str:
        return self._typed(key, str)

    def optional_text(self, key: str) -> str | None:
        return None if self[key] is None else self._typed(key, str)

    def integer(self, key: str) -> int:
        return self._typed(key, int)

    def seconds(self, key: str) -> float:
        return self._typed(key, float)

    def flag(self, key: str) -> bool:
        return self._typed(key, bool)

    def path(self, key: str) -> Path:
        """A path setting, made absolute from the project's root."""
        return PROJECT_ROOT / self._typed(key, str)

    @property
    def stream_name(self) -> str:
        """Of the stream that is read, whether it is set by its name or by its ARN."""
        return self.optional_text("streamName") or self.text("streamArn").rsplit("/", 1)[-1]

    @property
    def lease_tables(self) -> tuple[str, str, str]:
        """The KCL's tables in DynamoDB: leases, workers' load, and who coordinates."""
        application = self.text("applicationName")
        return (
            self.optional_text("tableName") or application,
            self.optional_text("workerMetricsTableName") or f"{application}-WorkerMetricStats",
            self.optional_text("coordinatorStateTableName") or f"{application}-CoordinatorState",
        )

    @property
    def explicit(self) -> frozenset[str]:
        """The keys that a file, the environment or the command line set."""
        return frozenset(key for key, origin in self.origins.items() if origin != DEFAULT_ORIGIN)

    def dump(self) -> bytes:
        """JSON for shard processes; `parse` reads it."""
        values = {key: value for key, value in self.values.items() if _is_shared(key)}
        origins = {key: origin for key, origin in self.origins.items() if key in values}
        return msgspec.json.encode({"backend": self.backend, "values": values, "origins": origins})

    @classmethod
    def parse(cls, dumped: bytes) -> Settings:
        """The settings of `dump`, without the KCL's own; raises msgspec.MsgspecError on anything else."""
        content = msgspec.json.decode(dumped, type=_Dumped)
        return cls(backend=content.backend, values=content.values, origins=content.origins)

    def _typed[V: Value](self, key: str, expected: type[V]) -> V:
        value = self[key]
        if type(value) is not expected:
            raise TypeError(f"{key} is {value!r}, not of type {expected.__name__}")
        return value


class _Dumped(msgspec.Struct):
    backend: Backend
    values: dict[str, Value]
    origins: dict[str, str]


def _is_shared(key: str) -> bool:
    return key in SETTINGS or key in SHARED_KCL_KEYS


def is_known(key: str) -> bool:
    """Whether any backend has a setting of this name."""
    return key in SETTINGS or key in KCL_KEYS or key.startswith(KCL_CLIENT_PREFIXES)
