"""What `start` and `check` have in common: which settings are meant, and where they come from."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from consumer.daemon.errors import StartFailed
from consumer.settings import BACKENDS, PROJECT_ROOT, Backend, Settings, load, look_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What points a backend at an embedded stack: settings beneath `--set`, and variables of the environment."""

    overrides: Mapping[str, str]
    environment: Mapping[str, str]


type FindEmbedded = Callable[[Backend], Embedded]
"""Serves `--local`; raises StartFailed when no stack is running."""


def add_settings_options(
    parser: argparse.ArgumentParser, *, backend_nargs: str | None = None, only: Backend | None = None
) -> None:
    """`backend_nargs` as argparse has it: "?" where the command has something to say without a backend. With `only` it
    is that one, and not asked for."""
    if only is None:
        parser.add_argument("backend", choices=BACKENDS, nargs=backend_nargs)
    else:
        parser.set_defaults(backend=only)
    parser.add_argument("--local", action="store_true", help="use the embedded stack that bin/local runs")
    parser.add_argument(
        "--properties", type=Path, metavar="FILE", help="settings (default: properties/BACKEND.properties)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=assignment,
        metavar="KEY=VALUE",
        help="a setting that counts more than the file's; can be repeated",
    )


def find_embedded_stack(options: argparse.Namespace, find_embedded: FindEmbedded | None) -> Embedded:
    """The embedded stack behind `--local`, nothing without that. Raises StartFailed."""
    if not options.local:
        return Embedded(overrides={}, environment={})
    if find_embedded is None:
        raise StartFailed("--local is not served here")
    return find_embedded(options.backend)


def load_settings(
    options: argparse.Namespace, embedded: Embedded, *, above: Mapping[str, str] | None = None
) -> Settings:
    """The settings that the options name, with those `above` them. Raises SettingsError."""
    return load(
        options.backend,
        file=properties_of(options),
        overrides={**embedded.overrides, **dict(options.set), **(above or {})},
        environment=os.environ,
    )


_PLACES = {
    "s3": {"s3.bucket": "bucket"},
    "bigquery": {"bigquery.project": "project", "bigquery.dataset": "dataset", "deadletter.bucket": "bucket"},
}
_NAMES = {"applicationName": "application", "streamName": "stream", "regionName": "us-east-1"}


def placeholders(options: argparse.Namespace, embedded: Embedded) -> dict[str, str]:
    """The overrides of the embedded stack, and some value for what has to be set before anything can be delivered and
    is not set yet: what becomes of a record does not depend on it."""
    file = properties_of(options)
    return {
        key: text
        for key, text in {**_NAMES, **_PLACES[options.backend]}.items()
        if look_up(options.backend, key, file=file, environment=os.environ) is None
    } | dict(embedded.overrides)


def properties_of(options: argparse.Namespace) -> Path:
    given: Path | None = options.properties
    return given or default_properties(options.backend)


def default_properties(backend: Backend) -> Path:
    return PROJECT_ROOT / "properties" / f"{backend}.properties"


def assignment(text: str) -> tuple[str, str]:
    """The type of an option `KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f'"{text}" is not KEY=VALUE')
    return key.strip(), value.strip()
