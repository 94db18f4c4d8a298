"""`start BACKEND`: reads the settings, says what is wrong with them, and runs the daemon."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumer.daemon.errors import StartFailed
from consumer.daemon.log import Log
from consumer.settings import BACKENDS, PROJECT_ROOT, Backend, Settings, SettingsError, load
from consumer.settings.reference import effective_lines, help_lines

EXIT_FAILED = 1
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What points a backend at an embedded stack: settings beneath `--set`, and variables of the environment."""

    overrides: Mapping[str, str]
    environment: Mapping[str, str]


type FindEmbedded = Callable[[Backend], Embedded]


def start_main(arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None) -> int:
    """Runs `start`; returns 0 after an orderly end, 1 when the daemon failed, 2 when its settings cannot be
    used.

    `find_embedded` serves `--local`; it raises StartFailed when no stack is running.
    """
    options = _parser().parse_args(arguments)
    if options.help_settings:
        print("\n".join(help_lines(options.backend)))
        return 0
    try:
        return _start(options, find_embedded)
    except SettingsError as error:
        print("\n".join(map(str, error.findings)), file=sys.stderr)
        return EXIT_USAGE
    except StartFailed as error:
        print("\n".join(error.messages), file=sys.stderr)
        return EXIT_FAILED


def _start(options: argparse.Namespace, find_embedded: FindEmbedded | None) -> int:
    embedded = _embedded(options, find_embedded)
    settings = load(
        options.backend,
        file=options.properties or PROJECT_ROOT / "properties" / f"{options.backend}.properties",
        overrides={**embedded.overrides, **dict(options.set)},
        environment=os.environ,
    )
    if options.print_effective:
        print("\n".join(effective_lines(settings)))
        return 0
    return _serve(settings, embedded)


def _serve(settings: Settings, embedded: Embedded) -> int:
    from consumer.daemon.service import serve

    os.environ.update(embedded.environment)
    log = Log(backend=settings.backend, level=settings["log.level"], clock=time.time)
    for warning in settings.warnings:
        log.warning(str(warning))
    return serve(settings, environment=os.environ, log=log)


def _embedded(options: argparse.Namespace, find_embedded: FindEmbedded | None) -> Embedded:
    if not options.local:
        return Embedded(overrides={}, environment={})
    if find_embedded is None:
        raise StartFailed("--local is not served here")
    return find_embedded(options.backend)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="start",
        description="Delivers a Kinesis stream to a backend until it gets SIGTERM or SIGINT.",
    )
    parser.add_argument("backend", choices=BACKENDS)
    parser.add_argument("--local", action="store_true", help="use the embedded stack that bin/local runs")
    parser.add_argument(
        "--properties", type=Path, metavar="FILE", help="settings (default: properties/BACKEND.properties)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        metavar="KEY=VALUE",
        help="a setting that counts more than the file's; can be repeated",
    )
    parser.add_argument("--print-effective", action="store_true", help="print every setting and its origin")
    parser.add_argument("--help-settings", action="store_true", help="explain every setting")
    return parser


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f'"{text}" is not KEY=VALUE')
    return key.strip(), value.strip()
