"""`start BACKEND`: reads the settings, says what is wrong with them, and runs the daemon."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from consumer import __version__
from consumer.daemon.commands.arguments import (
    Embedded,
    FindEmbedded,
    add_settings_options,
    find_embedded_stack,
    load_settings,
)
from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.proxies import exempt_metadata, proxy_lines
from consumer.daemon.report.log import Log, chosen_format
from consumer.domain.errors import SetupError
from consumer.settings import BACKENDS, Settings, SettingsError
from consumer.settings.reference import effective_lines, help_lines
from consumer.transforms.trial import check_transform

EXIT_FAILED = 1
EXIT_USAGE = 2


def start_main(arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None) -> int:
    """Runs `start`; returns 0 after an orderly end, 1 when the daemon failed, 2 when its settings cannot be
    used.

    `find_embedded` serves `--local`; it raises StartFailed when no stack is running.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.help_settings:
        asked = BACKENDS if options.backend is None else (options.backend,)
        print("\n\n".join("\n".join(help_lines(backend)) for backend in asked))
        return 0
    if options.backend is None:
        parser.error(f"name a backend: {' or '.join(BACKENDS)}")
    try:
        return _start(options, find_embedded)
    except SettingsError as error:
        print("\n".join(map(str, error.findings)), file=sys.stderr)
        return EXIT_USAGE
    except StartFailed as error:
        print("\n".join(error.messages), file=sys.stderr)
        return EXIT_FAILED


def _start(options: argparse.Namespace, find_embedded: FindEmbedded | None) -> int:
    embedded = find_embedded_stack(options, find_embedded)
    settings = load_settings(options, embedded)
    if options.print_effective:
        print("\n".join(effective_lines(settings)))
        return 0
    if settings["transform"] is not None:
        check_transform(settings)
    return _serve(settings, embedded)


def _serve(settings: Settings, embedded: Embedded) -> int:
    from consumer.daemon.supervise.service import serve

    os.environ.update(embedded.environment)
    os.environ.update(exempt_metadata(os.environ))
    log = Log(
        backend=settings.backend,
        level=settings["log.level"],
        clock=time.time,
        application=settings.text("applicationName"),
        form=chosen_format(settings.text("log.format"), sys.stderr, os.environ),
    )
    for warning in settings.warnings:
        log.warning(str(warning), event="setting_warned")
    _tell_proxies(settings, log)
    return serve(settings, environment=os.environ, log=log)


def _tell_proxies(settings: Settings, log: Log) -> None:
    """They come from the environment, which nothing else shows. Raises StartFailed for one that cannot be used."""
    try:
        for line in proxy_lines(settings):
            log.info(line)
    except SetupError as error:
        raise StartFailed(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="start",
        description="Delivers a Kinesis stream to a backend until it gets SIGTERM or SIGINT.",
    )
    add_settings_options(parser, backend_nargs="?")
    parser.add_argument("--version", action="version", version=f"consumer {__version__}")
    parser.add_argument("--print-effective", action="store_true", help="print every setting and its origin")
    parser.add_argument(
        "--help-settings", action="store_true", help="explain every setting, of both backends or of one"
    )
    return parser
