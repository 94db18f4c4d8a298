"""What would become of the records of a sample under some settings, and which settings would suit them better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec

from consumer.daemon.sample.columns import Column, columns_of
from consumer.daemon.sample.fields import MOST_PART, Field, fields_of, key_fields, time_fields
from consumer.daemon.sample.file import Sample
from consumer.domain.dead_letters import Rejection
from consumer.domain.routing import time_parser
from consumer.settings import Settings
from consumer.sinks.trial.rejections import rejections
from consumer.transforms.trial import Failure, Result, Trial, check_transform

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of `records` records those with a time of their own, and the dead letters, by reason, in the order of the
    records; and how many a transform filters."""

    records: int
    own_times: int
    dead_letters: Mapping[str, Sequence[Rejection]]
    filtered: int = 0

    @property
    def dead(self) -> int:
        return sum(map(len, self.dead_letters.values()))

    @property
    def delivered(self) -> int:
        return self.records - self.dead - self.filtered


class Study:
    """A sample that was read, judged under one set of settings after the other."""

    def __init__(self, sample: Sample, *, now: datetime) -> None:
        """`now` is when the records arrive."""
        self.sample = sample
        self._now = now.astimezone(UTC)
        self._trials: dict[tuple[str, ...], Trial] = {}

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """The records that are JSON objects."""
        return [found for record in self.sample.records if (found := _object(record)) is not None]

    @cached_property
    def fields(self) -> dict[str, Field]:
        return fields_of(self.objects)

    def verdict(self, settings: Settings) -> Verdict:
        """By the code of delivery."""
        found: dict[str, list[Rejection]] = {}
        arrival_ms = int(self._now.timestamp() * 1000)
        filtered, outputs = 0, None
        if settings["transform"] is not None:
            results = self._transformed(settings)
            outputs = [() if isinstance(result, Failure) else result for result in results]
            for index, result in enumerate(results):
                if isinstance(result, Failure):
                    # of its reasons, all are those of dead letters
                    reason: Any = result.reason
                    found.setdefault(reason, []).append(Rejection(index, reason, result.detail))
                elif not result:
                    filtered += 1
        for rejection in rejections(settings, self.sample.records, arrival_ms=arrival_ms, outputs=outputs):
            found.setdefault(rejection.reason, []).append(rejection)
        by_count = dict(sorted(found.items(), key=lambda item: -len(item[1])))
        return Verdict(len(self.sample.records), self._own_times(settings), by_count, filtered)

    def _transformed(self, settings: Settings) -> Sequence[Result]:
        """Raises SettingsError where the transform cannot be used."""
        key = settings.text("transform"), settings.text("transform.folder"), settings.backend
        if key not in self._trials:
            self._trials[key] = check_transform(settings, self.sample.records)
        return self._trials[key].results

    def proposed(self, settings: Settings) -> dict[str, str]:
        """Settings that suit the records better than these; none where these do."""
        if settings.backend == "s3":
            plain = len(self.objects) < (1 - MOST_PART) * len(self.sample.records)
            return {"s3.validate_json": "false"} if plain and settings.flag("s3.validate_json") else {}
        if not self.objects:
            return {}
        return self._key(settings) | self._time(settings)

    def columns(self, settings: Settings) -> tuple[list[Column], list[str]]:
        """For `bigquery.row = fields`, and the fields that can have none."""
        return columns_of(
            self.objects,
            key=settings.text("record.key_field"),
            time=settings.text("bigquery.partition_field"),
        )

    def _own_times(self, settings: Settings) -> int:
        name, parse = settings.text("record.time_field"), time_parser(settings.text("record.time_format"))
        return sum(parse(one.get(name)) is not None for one in self.objects)

    def _key(self, settings: Settings) -> dict[str, str]:
        """A key that most records have, and as many digits of it as choose a table."""
        records = len(self.objects)
        name, digits = settings.text("record.key_field"), settings.integer("bigquery.key_digits")
        key = self.fields.get(name, Field(name))
        proposed: dict[str, str] = {}
        if key.count < MOST_PART * records:
            times = time_fields(self.fields, records, now=self._now)
            key = next(iter(key_fields(self.fields, records, times)), key)
            if key.name != name:
                proposed["record.key_field"] = key.name
        if digits and (key.count < MOST_PART * records or key.hex_part(digits) < MOST_PART):
            proposed["bigquery.key_digits"] = "0"
        return proposed

    def _time(self, settings: Settings) -> dict[str, str]:
        if self._own_times(settings) >= MOST_PART * len(self.objects):
            return {}
        for found in time_fields(self.fields, len(self.objects), now=self._now):
            chosen = {"record.time_field": found.name, "record.time_format": found.notation}
            return {key: text for key, text in chosen.items() if settings.text(key) != text}
        return {}


def _object(record: bytes) -> dict[str, Any] | None:
    try:
        return _decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
