"""`replay BACKEND --from TIME --to TIME`: a range of the stream delivered once more, beside the application."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

import msgspec

from consumer.daemon.commands.arguments import (
    FindEmbedded,
    assignment,
    find_embedded_stack,
    load_settings,
    properties_of,
)
from consumer.daemon.prepare.lease_table import lease_reader
from consumer.daemon.prepare.preparation import Trouble
from consumer.daemon.report.leases import Lease
from consumer.domain.replay import Replay
from consumer.operate.action import EXIT_FAILED, Action, action_parser, run_action, user_and_host
from consumer.operate.bucket import Bucket
from consumer.operate.chunk_boundaries import ChunkBoundaries
from consumer.operate.dead_letters.places import Places
from consumer.operate.errors import Refused
from consumer.operate.lock import Holder, Lock, locked
from consumer.operate.moments import moment as moment_option
from consumer.operate.moments import span
from consumer.operate.patience import Patience
from consumer.operate.replay import own_settings
from consumer.operate.replay.daemon import ReplayDaemon, is_complete, seconds_done, start_arguments
from consumer.operate.replay.into_tables import refuse_doubling
from consumer.operate.replay.plan import KeptPlan, Plan, Range, make_plan
from consumer.operate.replay.tables import ReplayTables
from consumer.operate.stream import Stream
from consumer.settings import Settings
from consumer.sinks.aws import encryption_options, s3_client_of

_LOOK_SECONDS = 0.5
_LEASES_SECONDS = 2.0

type End = Literal["done", "stopped", "failed"]


def replay_main(arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None, **seams: Any) -> int:
    """Returns 0 when the range is delivered, 1 when it refused, was stopped or failed, 2 for wrong usage. `seams` are
    those of run_action."""
    options = _parser().parse_args(arguments)
    return run_action("replay", options, find_embedded, partial(_act, find_embedded=find_embedded), **seams)


def _act(action: Action, *, find_embedded: FindEmbedded | None) -> int:
    options = action.options
    if own_settings.is_replay(action.application):
        raise Refused(f"{action.application} is a replay itself: name the application that it is one of")
    first, last = span(options.since, options.until, action.now, names=("--from", "--to"))
    assert first is not None
    assert last is not None
    wanted = Range(from_ms=_ms(first), to_ms=_ms(last), shards=frozenset(options.shards))
    into = dict(options.into)
    name = own_settings.replay_name(action.application, wanted, into, _with(action, find_embedded, into))
    run = _Run(action, wanted, name, into, find_embedded)
    return run.abandon() if options.abandon else run.replay()


def _with(action: Action, find_embedded: FindEmbedded | None, above: dict[str, str]) -> Settings:
    """The settings of the command with some that count more. Raises SettingsError."""
    return load_settings(action.options, find_embedded_stack(action.options, find_embedded), above=above)


@dataclass(slots=True)
class _Run:
    action: Action
    wanted: Range
    name: str
    into: dict[str, str]
    find_embedded: FindEmbedded | None

    def replay(self) -> int:
        action = self.action
        _refuse_unknown_application(action)
        tables = ReplayTables(self._settings(1.0)[0], self._patience)
        kept = tables.begun()
        plan: Plan | None = None
        if kept is None:
            with action.progress("range") as line:
                line.step("looking where the range begins in each shard")
                plan = self._plan()
                if action.settings.backend == "bigquery":
                    line.step("looking for what would come twice")
                    refuse_doubling(action, self._settings(1.0)[0], self.wanted.to_ms)
            known = plan.kept
        else:
            known = msgspec.json.decode(kept, type=KeptPlan)
        rate = action.options.rate or known.records_a_second()
        settings, overrides = self._settings(rate)
        what = self._told(settings, plan, known, rate)
        audit = action.approved(what, {"shards": len(known.begins)})
        if audit is None:
            return 0
        end: End = "failed"
        daemon = self._daemon(settings, overrides, known)
        progress = _Progress(action, known, self.wanted)
        try:
            with self._locked(settings) as lock, action.in_order(), progress.line as line:
                if plan is not None:
                    line.step("making the KCL's tables")
                    tables.begin(plan.leases, msgspec.json.encode(known).decode())
                line.step(f"starting a daemon, whose log is {daemon.log}")
                end = self._deliver(daemon, settings, known, progress, lock)
                if end == "done":
                    line.step("taking away the KCL's tables")
                    tables.delete()
                    daemon.forget()
        finally:
            audit.end(end, progress.counts)
        return self._say_end(end, daemon, progress)

    def abandon(self) -> int:
        """Takes away what an interrupted replay has left."""
        settings, overrides = self._settings(1.0)
        tables = ReplayTables(settings, self._patience)
        kept = tables.begun()
        if kept is None:
            raise Refused(f"there is nothing to abandon: no replay {self.name} was begun")
        known = msgspec.json.decode(kept, type=KeptPlan)
        audit = self.action.approved(
            f"abandon the replay {self.name} of {self.wanted}: what it has delivered stays",
            {"shards": len(known.begins)},
        )
        if audit is None:
            return 0
        end: End = "failed"
        try:
            with self._locked(settings):
                tables.delete()
                self._daemon(settings, overrides, known).forget()
            end = "done"
        finally:
            audit.end(end, {"shards": len(known.begins)})
        return 0

    @property
    def _patience(self) -> Patience:
        return Patience(tell=self.action.console.say)

    def _settings(self, rate: float) -> tuple[Settings, dict[str, str]]:
        """Those of the replay, and what counts more in them than those of the application."""
        overrides = own_settings.overrides(self.action.settings, self.into, name=self.name, rate=rate)
        return _with(self.action, self.find_embedded, overrides), overrides

    def _plan(self) -> Plan:
        action = self.action
        settings = action.settings
        boundaries = None
        if settings.backend == "s3":
            bucket = _bucket(action, settings.text("s3.bucket"), "s3.bucket")
            boundaries = ChunkBoundaries.of(settings, bucket)
        return make_plan(
            self.wanted,
            Stream(settings, self._patience),
            action.now,
            boundaries=boundaries,
            cut_anew=action.options.cut_anew,
        )

    def _told(self, settings: Settings, plan: Plan | None, known: KeptPlan, rate: float) -> str:
        """Says what is to be known before anybody agrees; returns what is done in a line."""
        say = self.action.console.say
        for note in () if plan is None else plan.notes:
            say(note)
        if plan is None:
            say(f"{self.name} was begun before, and goes on where it was")
        say(
            f"at most {rate:,.0f} records a second are read from a shard (--rate); all that poll it share its 2 MB/s"
            " and 5 reads a second"
        )
        count = len(known.begins)
        goal = ", ".join(f"{key} = {value}" for key, value in own_settings.destination_of(settings).items())
        return (
            f"replay {self.wanted} of {self.action.settings.stream_name}, in {count} shard{'' if count == 1 else 's'},"
            f" as {self.name} into {goal}"
        )

    def _daemon(self, settings: Settings, overrides: dict[str, str], known: KeptPlan) -> ReplayDaemon:
        options = self.action.options
        replay = Replay(until_ms=self.wanted.to_ms, shards=frozenset(known.begins))
        arguments = start_arguments(
            settings.backend,
            local=options.local,
            properties=properties_of(options),
            settings=[*options.set, *overrides.items()],
        )
        return ReplayDaemon(settings, arguments, {**os.environ, **replay.environment()})

    def _locked(self, settings: Settings) -> Any:
        action = self.action
        bucket = _bucket(action, settings.text("deadletter.bucket"), "deadletter.bucket")
        places = Places(bucket, settings.text("deadletter.prefix"), self.name)
        holder = Holder.this_process(action.options.who or user_and_host(), action.command)
        return locked(bucket, places.lock, holder, now=action.now)

    def _deliver(
        self,
        daemon: ReplayDaemon,
        settings: Settings,
        known: KeptPlan,
        progress: _Progress,
        lock: Lock,
    ) -> End:
        """Runs the daemon until all shards are at the end of the range."""
        watch = _Watch(daemon, lease_reader(settings), known, progress)
        daemon.start()
        try:
            while not self.action.stopping and not lock.lost:
                if daemon.code() is not None:
                    return "failed"
                if watch.looks_complete():
                    return "done" if daemon.stop() == 0 else "failed"
                time.sleep(_LOOK_SECONDS)
            return "stopped"
        finally:
            daemon.stop()

    def _say_end(self, end: End, daemon: ReplayDaemon, progress: _Progress) -> int:
        say = self.action.console.say
        counts = progress.counts
        print(f"{counts['delivered']:,} records delivered, {counts['dead_letters']:,} dead letters")
        if counts["dead_letters"]:
            own = f"--set=applicationName={self.name}"
            say(f"they stand under the replay's name: {self.action.command_line('deadletters', 'list', own)}")
        if end == "done":
            return 0
        if end == "failed":
            say("\n".join([f"the daemon has ended; the end of its log, {daemon.log}:", *daemon.last_lines()]))
        say(f"to go on: {self._again()}; or with --abandon, to take away what it has left")
        return EXIT_FAILED

    def _again(self) -> str:
        """The command that goes on, at any later time."""
        shards = ["--shards", *sorted(self.wanted.shards)] if self.wanted.shards else []
        options = self.action.options
        chosen = [f"--into={key}={value}" for key, value in self.into.items()]
        if options.rate:
            chosen.append(f"--rate={options.rate:g}")
        if options.cut_anew:
            chosen.append("--cut-anew")
        if options.rows_are_gone:
            chosen.append("--rows-are-gone")
        return self.action.command_line("replay", *self.wanted.options(), *chosen, *shards)


class _Progress:
    """How far the range is delivered, and how many records."""

    def __init__(self, action: Action, known: KeptPlan, wanted: Range) -> None:
        self._begins = known.begins
        self._to_ms = wanted.to_ms
        self.line = action.progress(
            "seconds of the range replayed, of all shards together", known.seconds(wanted.to_ms)
        )
        self._done = 0
        self.counts = {"delivered": 0, "dead_letters": 0}

    def saw(self, told: Any, leases: Sequence[Lease]) -> None:
        now_ms = round(told.updated_at * 1000)
        done = int(seconds_done(told, self._begins, leases, to_ms=self._to_ms, now_ms=now_ms))
        self.line.aside = f"the daemon is not well: {told.reasons[0]} (see its log)" if told.reasons else ""
        self.line.add(max(0, done - self._done))
        self._done = max(done, self._done)
        self.counts = {"delivered": told.records.delivered, "dead_letters": told.records.dead_letters}


class _Watch:
    """Looks at what the daemon says, and now and then at its leases."""

    def __init__(
        self,
        daemon: ReplayDaemon,
        read_leases: Callable[[], Sequence[Lease]],
        known: KeptPlan,
        progress: _Progress,
    ) -> None:
        self._daemon = daemon
        self._read_leases = read_leases
        self._planned = frozenset(known.begins)
        self._progress = progress
        self._leases: Sequence[Lease] = ()
        self._read_at = 0.0

    def looks_complete(self) -> bool:
        told = self._daemon.told()
        if told is None:
            return False
        now = time.monotonic()
        if now - self._read_at >= _LEASES_SECONDS:
            self._read_at = now
            try:
                self._leases = self._read_leases()
            except Trouble:  # the daemon waits for the same table, and says so in its log
                return False
        self._progress.saw(told, self._leases)
        return is_complete(self._leases, self._planned, told.replayed)


def _refuse_unknown_application(action: Action) -> None:
    """Raises Trouble where there is no lease table, as under a wrong name."""
    if not lease_reader(action.settings)():
        raise Refused(f"no worker of applicationName {action.application} has ever run: it has no leases")


def _bucket(action: Action, name: str, setting: str) -> Bucket:
    return Bucket(
        s3_client_of(action.settings),
        name,
        setting=setting,
        put_options={"ContentType": "application/json", **encryption_options(action.settings)},
        patience=Patience(tell=action.console.say),
    )


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _rate(text: str) -> float:
    value = float(text)
    if not 1 <= value < 1e9:
        raise ValueError
    return value


def _parser() -> argparse.ArgumentParser:
    parser = action_parser(
        "replay",
        "Delivers a range of time of the stream once more, by a daemon under an application name of its own, while the"
        " application goes on; it stops by itself and leaves no table behind. Can be interrupted and started again.",
    )
    which = parser.add_argument_group("what is delivered")
    which.add_argument(
        "--from",
        dest="since",
        required=True,
        type=moment_option,
        metavar="TIME",
        help="arrived on the stream then or later: ISO 8601, or 2h, 3d ago",
    )
    which.add_argument(
        "--to", dest="until", required=True, type=moment_option, metavar="TIME", help="arrived before then"
    )
    which.add_argument("--shards", nargs="+", default=[], metavar="ID", help="of these shards (default: all)")
    which.add_argument(
        "--into",
        action="append",
        default=[],
        type=assignment,
        metavar="KEY=VALUE",
        help="a setting for the replay alone, as s3.prefix or bigquery.dataset for where it delivers; can be repeated",
    )
    which.add_argument(
        "--cut-anew",
        action="store_true",
        help="s3: go on where no object tells where a chunk begins: the objects may be others than before",
    )
    which.add_argument(
        "--rows-are-gone",
        action="store_true",
        help="bigquery without metadata columns: the tables hold no row of the range, so write all of them",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--rate",
        type=_rate,
        metavar="N",
        help="at most N records a second from each shard (default: some 1 MB, half of what a shard gives)",
    )
    how.add_argument(
        "--abandon", action="store_true", help="take away the tables of this replay instead of finishing it"
    )
    return parser
