"""`transform test FILE`: what the transform of the settings makes of the records of a file."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from consumer.daemon.commands.arguments import (
    Embedded,
    FindEmbedded,
    add_settings_options,
    find_embedded_stack,
    load_settings,
    placeholders,
)
from consumer.daemon.errors import StartFailed
from consumer.daemon.report.log import escaped
from consumer.daemon.sample.file import Sample, SampleError, read_sample
from consumer.settings import Settings, SettingsError
from consumer.transforms.trial import Failure, Result, Trial, try_out

EXIT_FAILED = 1
EXIT_USAGE = 2
_SHOWN = 20


def transform_main(arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None) -> int:
    """Returns 0 when the function takes all records and is pure, 1 when not, 2 when the settings cannot be used."""
    options = _parser().parse_args(arguments)
    options.backend = options.backend or "s3"
    try:
        settings = _settings(options, find_embedded_stack(options, find_embedded))
        if settings["transform"] is None:
            print("no transform is set, and none is named by --function", file=sys.stderr)
            return EXIT_USAGE
        sample = read_sample(options.file)
        trial = try_out(settings, sample.records)
    except SettingsError as error:
        print("\n".join(map(str, error.findings)), file=sys.stderr)
        return EXIT_USAGE
    except (StartFailed, SampleError) as error:
        print(f"transform: {error}", file=sys.stderr)
        return EXIT_FAILED
    if trial.fault is not None:
        print(f"transform: {settings.text('transform')}: {trial.fault}", file=sys.stderr)
        return EXIT_USAGE
    for line in _lines(sample, trial, options.limit):
        print(escaped(line))
    failed = any(isinstance(result, Failure) for result in trial.results)
    return EXIT_FAILED if failed or trial.impure else 0


def _settings(options: argparse.Namespace, embedded: Embedded) -> Settings:
    """What has to be set for delivery alone may be missing."""
    above = {} if options.function is None else {"transform": options.function}
    beneath = placeholders(options, embedded)
    return load_settings(options, Embedded(overrides=beneath, environment={}), above=above)


def _lines(sample: Sample, trial: Trial, limit: int) -> Iterator[str]:
    counts: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    for index, (payload, result) in enumerate(zip(sample.records, trial.results, strict=True)):
        kind = _kind(payload, result)
        counts[kind] += 1
        if kind == "unchanged" or shown[kind] >= limit:
            continue
        shown[kind] += 1
        yield f"{sample.unit} {sample.numbers[index]:,}: {kind}"
        yield from (f"    {line}" for line in _changes(payload, result))
    for index in trial.impure[:limit]:
        yield f"FAULT  {sample.unit} {sample.numbers[index]:,} came out in another way the second time"
    told = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
    cost = f", {trial.seconds / len(sample.records) * 1e6:.1f} µs a record" if sample.records else ""
    yield f"{len(sample.records):,} records: {told or 'nothing'}{cost}; {trial.file}"
    if trial.impure:
        yield f"FAULT  {len(trial.impure):,} of them depend on more than the record: the function has to be pure"


def _kind(payload: bytes, result: Result) -> str:
    if isinstance(result, Failure):
        return f"dead letter ({result.reason})"
    if len(result) != 1:
        return "several" if result else "filtered"
    return "unchanged" if result[0] == payload else "changed"


def _changes(payload: bytes, result: Result) -> Iterator[str]:
    """What is gone with a minus, what is new with a plus."""
    before = _pretty(payload)
    if isinstance(result, Failure):
        yield result.detail
        yield from (f"  {line}" for line in before)
        return
    if not result:
        yield from (f"- {line}" for line in before)
    for output in result:
        yield from (line for line in difflib.ndiff(before, _pretty(output)) if line[:1] != "?")


def _pretty(payload: bytes) -> list[str]:
    """A member a line, with numbers as they are spelled."""
    try:
        value: Any = json.loads(payload, parse_float=_Text, parse_int=_Text)
    except (ValueError, RecursionError):
        return [payload.decode(errors="replace")]
    if not isinstance(value, dict):
        return [payload.decode(errors="replace")]
    return [f"{json.dumps(name, ensure_ascii=False)}: {_shown(member)}" for name, member in value.items()]


class _Text(str):
    """A number as it is spelled."""

    __slots__ = ()


def _shown(value: Any) -> str:
    if isinstance(value, _Text):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(name, ensure_ascii=False)}: {_shown(one)}" for name, one in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="transform",
        description="Runs the function of `transform` on the records of a file, twice, and shows before and after.",
    )
    parser.add_argument("action", choices=("test",))
    parser.add_argument(
        "file", metavar="FILE", help="a record a line or one JSON array, plain or gzip; - for stdin"
    )
    add_settings_options(parser, backend_nargs="?")
    parser.add_argument("--function", metavar="MODULE:FUNCTION", help="instead of that of the settings")
    parser.add_argument(
        "--limit",
        type=int,
        default=_SHOWN,
        metavar="N",
        help=f"show N records of each kind (default {_SHOWN})",
    )
    return parser
