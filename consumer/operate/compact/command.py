"""`compact --date DAY`: the objects of closed partitions become few large ones, beneath a prefix of their own."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from consumer.daemon.commands.arguments import FindEmbedded
from consumer.domain.object_names import parse_object_name
from consumer.domain.routing import epoch_ms
from consumer.operate.action import EXIT_FAILED, Action, action_parser, run_action, user_and_host
from consumer.operate.bucket import Bucket
from consumer.operate.compact.compaction import Compaction, Part, Work
from consumer.operate.compact.forms import PARQUET, form_of
from consumer.operate.dead_letters.letters import Unreadable
from consumer.operate.errors import Refused
from consumer.operate.lock import Holder, locked
from consumer.operate.moments import written
from consumer.operate.patience import Patience
from consumer.operate.reconcile.objects import Object, Objects
from consumer.operate.reconcile.progress import Course
from consumer.operate.reconcile.spans import Partition
from consumer.settings import Settings
from consumer.settings.values import Size
from consumer.sinks.aws import object_options

_FORMATS = ("ndjson.gz", "ndjson.zst", PARQUET)
_LOCK = "_compaction-lock.json"
_MOST_TOLD = 20
_SIZE = Size(at_least="1MiB", at_most="4GiB")
"""One request puts 5 GB at most."""

type Day = Callable[[date], date]
"""From the present day to the one that was meant."""


def compact_main(
    arguments: Sequence[str],
    *,
    find_embedded: FindEmbedded | None = None,
    course: Callable[[Sequence[Settings]], Course] = Course,
    **seams: Any,
) -> int:
    """Returns 0 when all of the range is compacted, 1 when it refused, failed, or something of it is not, 2 for wrong
    usage. `seams` are those of run_action.
    """
    options = _parser().parse_args(arguments)
    if options.format is not None:
        options.set.append(("s3.format", options.format))
    return run_action(
        "compact", options, find_embedded, lambda action: _Command(action, course).run(), **seams
    )


class _Command:
    """One run."""

    def __init__(self, action: Action, course: Callable[[Sequence[Settings]], Course]) -> None:
        """Raises Refused."""
        settings = action.settings
        self._action = action
        self._settings = settings
        self._course = course
        self._partition = Partition.of(settings)
        self._bucket = Bucket(
            action.s3,
            settings.text("s3.bucket"),
            setting="s3.bucket",
            put_options={},
            patience=Patience(tell=action.console.say),
        )
        self._prefix = settings.text("s3.prefix")
        self._into = _into(action.options.into, self._prefix)
        self._compaction = Compaction(
            self._bucket,
            into=self._into,
            stream=settings.stream_name,
            form=form_of(settings),
            put_options=object_options(settings),
            target_bytes=action.options.target_size,
            names_bound_records=settings["transform"] is None,
        )
        self._problems: list[str] = []

    def run(self) -> int:
        """The exit code. Raises Refused, Trouble and DeliveryError."""
        begin_ms, end_ms, days = self._range()
        parts = self._parts(begin_ms, end_ms, days)
        works = [(part, self._compaction.work(part)) for part in parts]
        left = [(part, work) for part, work in works if not work.is_done]
        if not left:
            print(f"nothing new in {self._paths(len(parts))} of {days}: all is in {self._where(self._into)}")
            return 0
        self._tell(len(parts) - len(left), left)
        objects = sum(work.objects for _, work in left)
        what = (
            f"compact {objects:,} objects of {self._paths(len(left))} ({days}) as {self._settings.text('s3.format')}"
            f" into {self._where(self._into)}"
        )
        audit = self._action.approved(what, {"objects": objects})
        if audit is None:
            return 0
        state: Literal["done", "stopped", "failed"] = "failed"
        try:
            state = self._compact([part for part, _ in left], objects)
        finally:
            audit.end(state, dict(self._compaction.counts))
        counts = self._compaction.counts
        print(
            f"{counts['objects']:,} objects with {counts['records']:,} records are {counts['written']:,} in"
            f" {self._where(self._into)}"
        )
        for problem in self._problems:
            self._action.console.say(problem)
        return 0 if state == "done" and not self._problems else EXIT_FAILED

    def _compact(self, parts: Sequence[Part], objects: int) -> Literal["done", "stopped"]:
        action = self._action
        holder = Holder.this_process(action.options.who or user_and_host(), action.command)
        with (
            locked(self._bucket, f"{self._into}{_LOCK}", holder, now=action.now) as lock,
            action.in_order(),
        ):
            if not self._bucket.conditional:
                raise Refused(
                    "nothing was changed: this store takes no conditional writes (If-None-Match), without which two"
                    " runs could publish the same records"
                )

            def stopping() -> bool:
                return action.stopping or lock.lost

            with action.progress("objects read", objects) as progress:
                self._compaction.read = progress.add
                for part in parts:
                    if stopping():
                        break
                    try:
                        self._compaction.run(part, stopping)
                    except (Refused, Unreadable) as error:
                        self._problems.append(f"{part.path or '/'} is not compacted: {error}")
            return "stopped" if stopping() else "done"

    def _range(self) -> tuple[int, int, str]:
        """From one time to before another in milliseconds since the epoch, and in words. Raises Refused."""
        zone = self._partition.zone
        today = self._action.now.astimezone(zone).date()
        first = self._action.options.date(today)
        last = first if self._action.options.to is None else self._action.options.to(today)
        if last < first:
            raise Refused(f"an empty range: --to {last} is before --date {first}")
        days = f"{first}" if first == last else f"{first} to {last}"
        try:
            after = last + timedelta(days=1)
        except OverflowError:
            after = last
        begin_ms, end_ms = (epoch_ms(datetime.combine(day, time(), zone)) for day in (first, after))
        self._refuse_open(last, end_ms)
        return self._partition.floor(begin_ms), end_ms, days

    def _refuse_open(self, last: date, end_ms: int) -> None:
        """Raises Refused where the daemon can still write what arrived in the range."""
        now_ms = epoch_ms(self._action.now)
        seconds = self._settings.seconds("chunk.window") + self._settings.seconds("chunk.grace")
        ready_ms = end_ms + round(seconds * 1000)
        if now_ms < ready_ms:
            began = now_ms >= end_ms - 86_400_000
            raise Refused(
                f"{last} is {'not over' if began else 'in the future'}: its last objects are written after"
                f" {_moment(ready_ms)}"
            )
        if self._action.options.closed:
            return
        try:
            reached = self._course([self._settings]).reached(now_ms)
        except Refused as error:
            raise Refused(
                f"{error}; where no daemon writes these objects any more, --closed says so"
            ) from error
        if reached.passed_ms < end_ms:
            raise Refused(
                f"{last} is not closed: the checkpoint of {reached.slowest} has passed"
                f" {_moment(reached.passed_ms)} only"
            )

    def _parts(self, begin_ms: int, end_ms: int, days: str) -> list[Part]:
        """Raises Refused where there is nothing, or nothing that can become the format."""
        found: dict[str, list[Object]] = defaultdict(list)
        for one in Objects(self._settings, self._bucket, self._partition).listed(begin_ms, end_ms):
            found[one.key.removeprefix(self._prefix).rpartition("/")[0]].append(one)
        if not found:
            raise Refused(
                f"nothing to do: no objects of the stream {self._settings.stream_name} of {days} in"
                f" {self._where(self._prefix)}{self._partition.template}"
            )
        if self._settings.text("s3.format") != PARQUET:
            for objects in found.values():
                for one in objects:
                    name = parse_object_name(one.key)
                    if name is not None and name.format == PARQUET:
                        raise Refused(
                            f"--format {self._settings.text('s3.format')}: {self._where(one.key)} is Parquet, which"
                            " becomes Parquet only"
                        )
        return [Part(f"{path}/" if path else "", objects) for path, objects in sorted(found.items())]

    def _tell(self, done: int, left: Sequence[tuple[Part, Work]]) -> None:
        say = self._action.console.say
        if done:
            say(f"{self._paths(done)} are compacted already, with nothing new")
        for part, work in left[:_MOST_TOLD]:
            new = sum(map(len, work.groups))
            size = sum(one.listed.size for group in work.groups for one in group)
            begun = f", {len(work.open)} begun" if work.open else ""
            say(
                f"{part.path or '/'}: {new:,} objects of {size / 1e6:,.1f} MB into {len(work.groups):,}{begun}"
                f"{', after it was compacted' if work.folder.complete else ''}"
            )
        if len(left) > _MOST_TOLD:
            say(f"and {len(left) - _MOST_TOLD:,} paths more")

    def _where(self, key: str) -> str:
        return f"s3://{self._bucket.name}/{key}"

    def _paths(self, count: int) -> str:
        return f"{count:,} path{'s' if count != 1 else ''}"


def _into(given: str | None, prefix: str) -> str:
    """Where compacted objects go. Raises Refused where readers of one prefix would read the other."""
    into = given if given is not None else f"{prefix.rstrip('/')}-compacted/".lstrip("-")
    if not into.endswith("/") or into.startswith("/"):
        raise Refused(f"--into {into}: a prefix ends with a slash, and begins with none")
    if prefix and (into.startswith(prefix) or prefix.startswith(into)):
        raise Refused(f"--into {into} and s3.prefix {prefix}: who reads the one reads the other")
    return into


def _moment(time_ms: int) -> str:
    return written(datetime.fromtimestamp(time_ms / 1000, UTC))


def _day(text: str) -> Day:
    """The type of an option: `2026-11-20`, or `1d` for yesterday."""
    found = re.fullmatch(r"([0-9]{1,5})d", text)
    if found:
        return lambda today: today - timedelta(days=int(found[1]))
    with suppress(ValueError):
        meant = date.fromisoformat(text)
        return lambda today: meant
    raise argparse.ArgumentTypeError(f'"{text}" is no day: write 2026-01-31, or 1d for yesterday')


def _target_size(text: str) -> int:
    try:
        return _SIZE.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = action_parser(
        "compact",
        "Rewrites the objects of whole days as few large ones, beneath a prefix of their own, where nothing is ever"
        " changed or doubled: it can be interrupted and started again at any point, and adds what has come since it ran"
        " last. The daemon's own objects stay. docs/compaction.md says how both are read.",
        only="s3",
    )
    which = parser.add_argument_group("which objects")
    which.add_argument(
        "--date",
        type=_day,
        required=True,
        metavar="DAY",
        help="of s3.time_zone, as 2026-01-31 or 1d for yesterday; all of it has to be delivered",
    )
    which.add_argument("--to", type=_day, metavar="DAY", help="the last day, where it is another one")
    which.add_argument(
        "--closed",
        action="store_true",
        help="no daemon writes them any more: do not ask for its checkpoints",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--format", choices=_FORMATS, help="in place of s3.format; lines can become Parquet")
    how.add_argument(
        "--target-size",
        type=_target_size,
        default="128MiB",
        metavar="SIZE",
        help="of the daemon's objects that become one (default 128MiB)",
    )
    how.add_argument(
        "--into",
        metavar="PREFIX",
        help="where compacted objects go (default: s3.prefix with -compacted, as player-log-compacted/)",
    )
    return parser
