"""`check BACKEND`: every fault of the settings, then what the daemon will find when it starts."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from consumer.daemon.commands.arguments import (
    Embedded,
    FindEmbedded,
    add_settings_options,
    find_embedded_stack,
    load_settings,
    placeholders,
    properties_of,
)
from consumer.daemon.commands.questions import ask_all, checks_of, other_readers
from consumer.daemon.errors import StartFailed
from consumer.daemon.prepare.proxies import exempt_metadata
from consumer.daemon.prepare.question import Answer
from consumer.daemon.sample.file import SampleError, read_sample
from consumer.daemon.sample.report import SampleReport, study_sample, write_schema
from consumer.daemon.sample.verdict import Study
from consumer.settings import Finding, Settings, SettingsError, Severity
from consumer.transforms.trial import check_transform

EXIT_FAILED = 1
EXIT_USAGE = 2

type AskWorld = Callable[[Settings], list[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found; `world` is None where it was not asked: `--offline`, `--sample`, or settings that cannot be used;
    `sample` is what was found of `--sample`."""

    backend: str
    findings: tuple[Finding, ...]
    world: tuple[Answer, ...] | None = None
    sample: SampleReport | None = None

    @property
    def usable(self) -> bool:
        return all(finding.severity is not Severity.ERROR for finding in self.findings)

    @property
    def ok(self) -> bool:
        well = all(answer.ok for answer in self.world or ()) and (self.sample is None or self.sample.ok)
        return self.usable and well

    def exit_code(self) -> int:
        """As `start` would end: 2 for its settings, 1 for anything else."""
        return 0 if self.ok else EXIT_FAILED if self.usable else EXIT_USAGE

    def lines(self) -> Iterator[str]:
        yield from map(str, self.findings)
        if self.usable:
            count = len(self.findings)
            yield f"ok     settings: {count} warning{'' if count == 1 else 's'}"
        for (ok, message), names in self._named_by_answer().items():
            yield f"{'ok   ' if ok else 'FAULT'}  {', '.join(dict.fromkeys(names))}: {message}"
        if self.sample is not None:
            yield from self.sample.lines()
        if not self.usable:
            yield "the settings cannot be used, so nothing else was checked"

    def _named_by_answer(self) -> dict[tuple[bool, str], list[str]]:
        """Who said the same: one cause, as missing credentials, is one line however many questions it spoils."""
        names: dict[tuple[bool, str], list[str]] = {}
        for answer in self.world or ():
            names.setdefault((answer.ok, answer.message), []).append(answer.name)
        return names

    def json(self) -> str:
        """One object."""
        findings = [asdict(finding) for finding in self.findings]
        world = None if self.world is None else [asdict(answer) for answer in self.world]
        found = {"backend": self.backend, "ok": self.ok, "settings": findings, "world": world}
        return json.dumps(found if self.sample is None else found | {"sample": self.sample.summary()})


def check_main(
    arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None, ask_world: AskWorld | None = None
) -> int:
    """Runs `check`; returns 0 when all is well, 1 when something outside of the settings is not, 2 when the
    settings cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        embedded = find_embedded_stack(options, find_embedded)
    except StartFailed as error:
        print("\n".join(error.messages), file=sys.stderr)
        return EXIT_FAILED
    try:
        report = _report(options, embedded, ask_world or _ask_world)
    except SampleError as error:
        print(f"--sample: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(report.json() if options.json else "\n".join(report.lines()))
    return report.exit_code()


def _report(options: argparse.Namespace, embedded: Embedded, ask_world: AskWorld) -> Report:
    """Raises SampleError."""
    try:
        if options.sample is not None:
            return _sample_report(options, embedded)
        settings = load_settings(options, embedded)
        if settings["transform"] is not None:
            check_transform(settings)
    except SettingsError as error:
        return Report(backend=options.backend, findings=error.findings)
    if options.offline:
        return Report(backend=options.backend, findings=settings.warnings)
    os.environ.update(embedded.environment)
    os.environ.update(exempt_metadata(os.environ))
    world = (*ask_world(settings), *other_readers(settings, properties_of(options)))
    return Report(backend=options.backend, findings=settings.warnings, world=world)


def _sample_report(options: argparse.Namespace, embedded: Embedded) -> Report:
    """Raises SettingsError or SampleError."""
    beneath = placeholders(options, embedded)

    def with_settings(chosen: Mapping[str, str]) -> Settings:
        return load_settings(options, Embedded(overrides=beneath, environment={}), above=chosen)

    with_settings({})  # a mistake there is told before a large file is read
    study = Study(read_sample(options.sample), now=datetime.now(UTC))
    sample = study_sample(options.sample, study, with_settings)
    if options.write_schema is not None:
        write_schema(options.write_schema, sample.columns)
    return Report(backend=options.backend, findings=sample.settings.warnings, sample=sample)


def _ask_world(settings: Settings) -> list[Answer]:
    return ask_all(checks_of(settings, now=time.time))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="check",
        description="Reports every fault of a backend's settings, then asks AWS and Google what a start would find.",
    )
    add_settings_options(parser)
    parser.add_argument("--offline", action="store_true", help="check the settings only")
    parser.add_argument(
        "--sample",
        metavar="FILE",
        help="instead of asking anybody, judge the records of a file as delivery would (a line each or one JSON array,"
        " plain or gzip; - for stdin), and say which settings fit them; exit code 1 where a shard would be held",
    )
    parser.add_argument(
        "--write-schema",
        type=Path,
        metavar="FILE",
        help="with --sample: write the columns that bigquery.row = fields needs, as a schema file",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser
