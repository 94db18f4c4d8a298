"""What the objects of the last hour tell of a day: how many, how large, and what their requests cost.

They are found by listing, with a limit of requests, so that asking costs less than a cent whatever the bucket holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from consumer.daemon.page.amounts import number, size
from consumer.daemon.prepare.aws import ask, bucket_client, code_of, s3_service
from consumer.daemon.prepare.preparation import Trouble
from consumer.daemon.prepare.question import Check
from consumer.domain.key_templates import escaped
from consumer.domain.object_names import parse_object_name
from consumer.domain.routing import expand_time, time_zone
from consumer.settings import Settings

_HOUR_MS = 3_600_000
_HOURS_A_DAY = 24
_MOST_REQUESTS = 60
_MOST_FOLDERS = 20
"""Of those whose names are values of fields: where there are more, so many stand for all."""
_SMALL_BYTES = 1 << 20
_MANY_A_DAY = 1000
_PUT_USD = {
    "STANDARD_IA": 0.01,
    "ONEZONE_IA": 0.01,
    "GLACIER_IR": 0.02,
    "GLACIER": 0.03,
    "DEEP_ARCHIVE": 0.05,
}
"""List price of 1,000 PUT requests in us-east-1, by storage class: https://aws.amazon.com/s3/pricing/"""
_STANDARD_PUT_USD = 0.005


def object_size_checks(
    settings: Settings, count_shards: Callable[[], int | None], *, now: Callable[[], float]
) -> list[Check]:
    """`count_shards` gives the stream's open shards, None where they may not be asked for; `now` is in seconds since
    the epoch."""
    return [Check(name="objects", step=lambda: _told(settings, count_shards, int(now() * 1000)))]


@dataclass(slots=True)
class Seen:
    """What was listed. Each object stands for `weight` of them; with `is_part` there are more."""

    objects: int = 0
    total_bytes: int = 0
    chunks: set[str] = field(default_factory=set)
    weight: float = 1
    is_part: bool = False


def verdict(seen: Seen, settings: Settings) -> str:
    """A line about objects that were there in the last hour."""
    average = seen.total_bytes / seen.objects
    a_chunk = seen.objects / len(seen.chunks)
    a_day = seen.objects * seen.weight * _HOURS_A_DAY
    least = "at least " if seen.is_part else "about " if seen.weight > 1 else ""
    chunk = f", {number(a_chunk)} of each chunk" if seen.weight == 1 and a_chunk > 1 else ""
    line = (
        f"{least}{number(seen.objects * seen.weight)} in the last hour, of {size(average)} on average{chunk}:"
        f" {least}{number(a_day)} a day, {_cost(a_day, settings)}"
    )
    if average >= _SMALL_BYTES or a_day < _MANY_A_DAY:
        return line
    window = f"a chunk.window of more than {number(settings.seconds('chunk.window'))} s"
    if a_chunk >= 2 or seen.weight > 1:
        window = f"fewer values in s3.key_template, or {window},"
    return (
        f"{line}. They are small, and readers ask for each: {window} makes fewer and larger ones (docs/s3.md)"
    )


def _cost(objects: float, settings: Settings) -> str:
    price = _PUT_USD.get(settings.optional_text("s3.storage_class") or "", _STANDARD_PUT_USD)
    return f"whose PUT requests cost {objects / 1000 * price:.2f} USD a day at us-east-1's list price"


def _told(settings: Settings, count_shards: Callable[[], int | None], now_ms: int) -> str:
    """Raises Trouble where nobody answers; a refusal is no fault, since delivery does not list."""
    listing = Listing(settings, bucket_client(settings), now_ms)
    try:
        seen = listing.seen()
    except ClientError as error:
        return f"nothing is told of them: s3:ListBucket answers {code_of(error)}"
    if seen.objects:
        return verdict(seen, settings)
    place = f"s3://{settings.text('s3.bucket')}/{settings.text('s3.prefix')}"
    more = f"; {place} has more than was looked at" if seen.is_part else ""
    return f"none in the last hour below {place}{more}{_expected(settings, count_shards)}"


def _expected(settings: Settings, count_shards: Callable[[], int | None]) -> str:
    try:
        shards = count_shards()
    except Trouble:  # another question tells it
        return ""
    if not shards:
        return ""
    window = settings.seconds("chunk.window")
    a_day = shards * _HOURS_A_DAY * 3600 / window
    each = " for each path" if "{" in (settings.optional_text("s3.key_template") or "") else ""
    return (
        f"; {shards} shards with a chunk each {number(window)} s make {number(a_day)} a day{each} or fewer,"
        f" {_cost(a_day, settings)}"
    )


class Listing:
    """Lists what has come under the paths of the last hour. `s3` is a client of boto3."""

    def __init__(self, settings: Settings, s3: Any, now_ms: int) -> None:
        self._s3 = s3
        self._service = s3_service(settings)
        self._bucket = settings.text("s3.bucket")
        self._prefix = settings.text("s3.prefix")
        self._stem = f"{settings.stream_name}-"
        template = settings.optional_text("s3.key_template") or settings.text("s3.partition")
        self._parts = _timed(
            template.replace("{stream}", escaped(settings.stream_name).replace("%", "%%")).split("/")
        )
        self._zone = time_zone(settings.text("s3.time_zone"))
        self._moments = (now_ms - _HOUR_MS, now_ms)
        self._requests = 0
        self._named: dict[str, list[str]] = {}
        self._seen = Seen()

    def seen(self) -> Seen:
        """Blocks. Raises ClientError and Trouble."""
        for folder in self._folders():
            for page in self._pages(Prefix=folder):
                self._count(page.get("Contents", []))
        return self._seen

    def _count(self, objects: Sequence[dict[str, Any]]) -> None:
        for one in objects:
            name = parse_object_name(one["Key"])
            if name is None or not name.stem.startswith(self._stem):
                continue
            if one["LastModified"].timestamp() * 1000 >= self._moments[0]:
                self._seen.objects += 1
                self._seen.total_bytes += one["Size"]
                self._seen.chunks.add(one["Key"].rpartition("/")[2])

    def _folders(self) -> list[str]:
        """Prefixes of the keys of either end of the hour; those that fields name are asked for."""
        reached = [(self._prefix, moment) for moment in self._moments]
        for part in self._parts:
            head, brace, _ = part.partition("{")
            if brace:
                folders = [(f"{folder}{self._at(head, moment)}", moment) for folder, moment in reached]
                names = self._some({name for folder, _ in folders for name in self._names(folder)})
                reached = [
                    (name, moment)
                    for folder, moment in folders
                    for name in self._names(folder)
                    if name in names
                ]
            else:
                reached = [(f"{folder}{self._at(part, moment)}/", moment) for folder, moment in reached]
        return list(dict.fromkeys(folder for folder, _ in reached))

    def _at(self, text: str, moment: int) -> str:
        return expand_time(text, moment, self._zone)

    def _some(self, names: set[str]) -> set[str]:
        """All of few, and of many some that stand for all of them."""
        if len(names) <= _MOST_FOLDERS:
            return names
        chosen = sorted(names)[:: -(-len(names) // _MOST_FOLDERS)]
        self._seen.weight *= len(names) / len(chosen)
        return set(chosen)

    def _names(self, folder: str) -> list[str]:
        """Folders whose names begin so."""
        if folder not in self._named:
            pages = self._pages(Prefix=folder, Delimiter="/")
            self._named[folder] = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
        return self._named[folder]

    def _pages(self, **asked: str) -> Iterator[dict[str, Any]]:
        while True:
            if self._requests >= _MOST_REQUESTS:
                self._seen.is_part = True
                return
            self._requests += 1
            page = ask(lambda: self._s3.list_objects_v2(Bucket=self._bucket, **asked), self._service)
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]


def _timed(parts: list[str]) -> list[str]:
    """Those up to the last one that has a time: what follows lies below."""
    last = max((number for number, part in enumerate(parts) if "%" in part), default=-1)
    return parts[: last + 1]
