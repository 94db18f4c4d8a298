"""What is told of a sample, in lines and as JSON."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.daemon.report.log import escaped
from consumer.daemon.sample.columns import Column
from consumer.daemon.sample.file import SampleError
from consumer.daemon.sample.verdict import Study, Verdict
from consumer.domain.excerpts import excerpt
from consumer.settings import Settings, SettingsError

_SHOWN_CHARACTERS = 80
_SHOWN_FIELDS = 20
_NAME_CHARACTERS = 40

type WithSettings = Callable[[Mapping[str, str]], Settings]
"""The settings with others above them. Raises SettingsError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleReport:
    """`proposed` are the settings that `better` is the verdict with, where they were found; `as_fields` is the verdict
    with `bigquery.row = fields` and these columns, where that can be asked."""

    name: str
    study: Study
    settings: Settings
    verdict: Verdict
    proposed: Mapping[str, str]
    better: Verdict | None
    columns: list[Column]
    without: list[str]
    as_fields: Verdict | None

    @property
    def ok(self) -> bool:
        """Whether a stream of such records would not be held."""
        return self.verdict.records > 0 and self.verdict.dead <= self._most_dead()

    def _most_dead(self) -> float:
        return float(self.settings["deadletter.max_ratio"]) * self.verdict.records

    def lines(self) -> Iterator[str]:
        """Without anything of a record that a terminal would obey."""
        return map(escaped, self._lines())

    def _lines(self) -> Iterator[str]:
        verdict, sample = self.verdict, self.study.sample
        part = "" if sample.is_whole else ", the first of more"
        of_units = {
            "line": "a line each",
            "element": "the elements of a JSON array",
            "object": "one JSON object",
        }
        yield f"sample {self.name}: {verdict.records:,} records, {of_units[sample.unit]}{part}"
        what = "lines of objects" if self.settings.backend == "s3" else "rows"
        yield f"  {verdict.delivered:>9,} would be {what}"
        if self.settings["transform"] is not None:
            yield f"  {verdict.filtered:>9,} would be filtered by the transform"
        yield f"  {verdict.dead:>9,} would be dead letters"
        for reason, found in verdict.dead_letters.items():
            first = found[0]
            place = f"{sample.unit} {sample.numbers[first.index]:,}"
            yield f"  {len(found):>13,} {reason}: {first.detail}"
            shown = sample.records[first.index][: 4 * _SHOWN_CHARACTERS].decode(errors="replace")
            yield f"  {'':>13} the first is {place}: {excerpt(shown, _SHOWN_CHARACTERS)!r}"
        yield from self._times()
        yield from self._fields()
        yield from self._proposals()
        if self.settings.backend == "bigquery" and not self.study.objects and verdict.records:
            yield "rows are made of JSON objects, and none is one; S3 takes any line with s3.validate_json = false"
        yield from self._as_fields()
        yield self._last_line()

    def _times(self) -> Iterator[str]:
        settings, verdict = self.settings, self.verdict
        if settings.backend == "s3" and settings.text("s3.partition_time") == "arrival":
            return
        field, notation = settings.text("record.time_field"), settings.text("record.time_format")
        yield f"  {verdict.own_times:>9,} have their time in {field} ({notation}); others take that of their arrival"

    def _fields(self) -> Iterator[str]:
        if self.settings.backend == "bigquery" and self.study.fields:
            some = list(self.study.fields.values())[:_SHOWN_FIELDS]
            named = ", ".join(f"{excerpt(one.name, _NAME_CHARACTERS)} {one.count:,}" for one in some)
            more = len(self.study.fields) - len(some)
            yield f"fields, by the records that have them: {named}" + (f" and {more:,} more" if more else "")

    def _proposals(self) -> Iterator[str]:
        if self.better is None:
            return
        yield "settings that fit these records better:"
        yield from (f"  {key} = {text}" for key, text in self.proposed.items())
        times = (
            f", {self.better.own_times:,} with a time of their own" if self.settings.backend != "s3" else ""
        )
        left = ", ".join(f"{len(found):,} {reason}" for reason, found in self.better.dead_letters.items())
        yield (
            f"with them {self.better.delivered:,} of {self.better.records:,} would be delivered{times}"
            + (f"; dead letters: {left}" if left else "")
        )

    def _as_fields(self) -> Iterator[str]:
        found = self.as_fields
        if found is None or (self.settings.text("bigquery.row") == "fields" and not self.verdict.dead):
            return
        ignored = ""
        if self.without:
            names = ", ".join(excerpt(name, _NAME_CHARACTERS) for name in self.without[:_SHOWN_FIELDS])
            ignored = f"; no column can have the names {names}: bigquery.unknown_fields = ignore or overflow"
        yield (
            f"bigquery.row = fields would take {found.delivered:,} of them with {len(self.columns)} columns, which"
            f" --write-schema FILE writes{ignored}"
        )

    def _last_line(self) -> str:
        if not self.verdict.records:
            return "FAULT  sample: there is no record in it"
        if self.ok:
            return "ok     sample"
        ratio = self.settings["deadletter.max_ratio"]
        return f"FAULT  sample: more dead letters than deadletter.max_ratio = {ratio} allows: such records hold a shard"

    def summary(self) -> dict[str, Any]:
        """For JSON: `dead_letters` by reason, each with its first record; `schema` is that of a schema file."""
        numbers = self.study.sample.numbers
        return {
            "ok": self.ok,
            "records": self.verdict.records,
            "delivered": self.verdict.delivered,
            "filtered": self.verdict.filtered,
            "own_times": self.verdict.own_times,
            "dead_letters": {
                reason: {
                    "records": len(found),
                    "first": {self.study.sample.unit: numbers[found[0].index], "detail": found[0].detail},
                }
                for reason, found in self.verdict.dead_letters.items()
            },
            "proposed": dict(self.proposed),
            "delivered_with_proposed": None if self.better is None else self.better.delivered,
            "schema": self.columns,
            "delivered_with_schema": None if self.as_fields is None else self.as_fields.delivered,
        }


def study_sample(name: str, study: Study, with_settings: WithSettings) -> SampleReport:
    """Raises SettingsError where the settings cannot be used as they are."""
    settings = with_settings({})
    verdict = study.verdict(settings)
    proposed = study.proposed(settings)
    better = _with(study, with_settings, proposed) if proposed else None
    if better is not None and (better.delivered, better.own_times) <= (verdict.delivered, verdict.own_times):
        better = None
    kept = proposed if better is not None else {}
    columns: list[Column] = []
    without: list[str] = []
    as_fields = None
    if settings.backend == "bigquery" and study.objects:
        columns, without = study.columns(with_settings(kept))
        as_fields = _as_fields(study, with_settings, kept, columns, rejects_unknown=not without)
    return SampleReport(
        name=name,
        study=study,
        settings=settings,
        verdict=verdict,
        proposed=kept,
        better=better,
        columns=columns,
        without=without,
        as_fields=as_fields,
    )


def write_schema(path: Path, columns: list[Column]) -> None:
    """Raises SampleError."""
    try:
        path.write_text(json.dumps(columns, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SampleError(f"cannot write {path}: {error.strerror}") from error


def _with(study: Study, with_settings: WithSettings, chosen: Mapping[str, str]) -> Verdict | None:
    """None where the settings cannot be used together."""
    try:
        return study.verdict(with_settings(chosen))
    except SettingsError:
        return None


def _as_fields(
    study: Study,
    with_settings: WithSettings,
    chosen: Mapping[str, str],
    columns: list[Column],
    *,
    rejects_unknown: bool,
) -> Verdict | None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(columns, file)
        file.flush()
        row = {"bigquery.row": "fields", "bigquery.schema_file": str(Path(file.name))}
        if not rejects_unknown:
            row["bigquery.unknown_fields"] = "ignore"
        return _with(study, with_settings, {**chosen, **row})
