"""`deadletters BACKEND list|show|redrive|discard`."""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from consumer.daemon.commands.arguments import FindEmbedded
from consumer.operate.action import (
    EXIT_FAILED,
    Action,
    action_parser,
    run_action,
    user_and_host,
)
from consumer.operate.bucket import Bucket
from consumer.operate.dead_letters.destination import Destination
from consumer.operate.dead_letters.letters import Choice, Letter, Refusal
from consumer.operate.dead_letters.listing import grouped, table
from consumer.operate.dead_letters.places import Places
from consumer.operate.dead_letters.redrive import Counts, Redrive
from consumer.operate.dead_letters.rendering import Renderer
from consumer.operate.dead_letters.settling import Settlement, settle
from consumer.operate.dead_letters.transform import InForce, Mend, load_transform, unchanged
from consumer.operate.errors import Refused
from consumer.operate.lock import Holder, locked
from consumer.operate.moments import moment, span
from consumer.operate.patience import Patience
from consumer.sinks.aws import encryption_options

_ACTIONS = ("list", "show", "redrive", "discard")
_SHOWN = 20


def deadletters_main(
    arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None, **seams: Any
) -> int:
    """Returns 0 when all that was meant is done, 1 when it refused, failed, or some letters stay dead, 2 for wrong
    usage. `seams` are those of run_action.
    """
    options = _parser().parse_args(arguments)
    command = f"deadletters {options.action}"
    return run_action(command, options, find_embedded, _act, **seams)


def _act(action: Action) -> int:
    options = action.options
    places = _places(action)
    choice = _choice(action)
    if options.action != "redrive":
        places.refuse_unknown()
    if options.action == "list":
        return _list(action, places, choice)
    if options.action == "show":
        return _show(action, places, choice)
    if options.action == "discard":
        return _discard(action, places, choice)
    return _redrive(action, places, choice)


def _patience(action: Action) -> Patience:
    return Patience(tell=action.console.say)


def _places(action: Action) -> Places:
    settings = action.settings
    bucket = Bucket(
        action.s3,
        settings.text("deadletter.bucket"),
        setting="deadletter.bucket",
        put_options={"ContentType": "application/gzip", **encryption_options(settings)},
        patience=_patience(action),
    )
    return Places(bucket, settings.text("deadletter.prefix"), action.application)


def _choice(action: Action) -> Choice:
    options = action.options
    since, until = span(options.since, options.until, action.now)
    return Choice(
        reasons=frozenset(options.reason),
        shards=frozenset(options.shard),
        keys=frozenset(options.key),
        since_ms=None if since is None else round(since.timestamp() * 1000),
        until_ms=None if until is None else round(until.timestamp() * 1000),
    )


def _letters(places: Places, choice: Choice, limit: int | None, problems: list[str]) -> Iterator[Letter]:
    found = (letter for source in places.sources(choice, problems) for letter in source.chosen)
    return itertools.islice(found, limit)


def _list(action: Action, places: Places, choice: Choice) -> int:
    problems: list[str] = []
    renderer = Renderer(mask=action.options.mask)
    groups = grouped(
        _counted(action, _letters(places, choice, action.options.limit, problems), "read"), renderer
    )
    if action.options.json:
        print(json.dumps({"application": action.application, "groups": [asdict(group) for group in groups]}))
    elif groups:
        print("\n".join(table(groups)))
    else:
        print(f"no dead letters of {action.application} in this range")
    return _told(action, problems)


def _show(action: Action, places: Places, choice: Choice) -> int:
    problems: list[str] = []
    renderer = Renderer(mask=action.options.mask)
    limit = _SHOWN if action.options.limit is None else action.options.limit
    for letter in _letters(places, choice, limit, problems):
        if action.options.json:
            print(json.dumps(renderer.as_object(letter)))
        else:
            print("\n".join(renderer.lines(letter)))
    return _told(action, problems)


def _discard(action: Action, places: Places, choice: Choice) -> int:
    problems: list[str] = []
    left = action.options.limit
    reasons = _reasons(action, places, choice, problems)
    if places.bucket.etag(places.parcel) is not None:
        raise Refused("nothing was changed: a redrive was interrupted; redrive first, which finishes it")
    audit = action.approved(f"discard {_words(reasons)} of {action.application}", _total(reasons))
    if audit is None:
        return 0
    discarded = 0
    state: Any = "failed"
    try:
        with (
            locked(places.bucket, places.lock, _holder(action), now=action.now) as lock,
            action.in_order(),
            action.progress("discarded", reasons.total()) as progress,
        ):
            for source in places.sources(choice, []):
                settlement = Settlement()
                for letter in source.chosen[:left]:
                    settlement.move("discarded", letter)
                settle(places, source.listed.key, settlement)
                count = len(settlement.kept)
                discarded += count
                progress.add(count)
                left = None if left is None else left - count
                if action.stopping or lock.lost or left == 0:
                    break
            state = "stopped" if action.stopping or lock.lost else "done"
    finally:
        audit.end(state, {"discarded": discarded})
    print(f"{discarded:,} discarded: s3://{places.bucket.name}/{places.moved('discarded', places.own)}")
    return EXIT_FAILED if state == "stopped" else _told(action, problems)


def _redrive(action: Action, places: Places, choice: Choice) -> int:
    in_force = InForce(action.settings)
    redrive = Redrive(
        places=places,
        destination=_destination(action, in_force),
        in_force=in_force,
        stream=action.settings.stream_name,
        mend=_transform(action),
        rate=action.options.rate,
        stopping=lambda: action.stopping,
    )
    interrupted = redrive.interrupted()
    reasons = _reasons(action, places, choice, redrive.problems, may_be_empty=interrupted is not None)
    begun = 0 if interrupted is None else len(interrupted.entries)
    before = f", after {begun:,} that an interrupted redrive has begun" if begun else ""
    what = f"redrive {_words(reasons)} of {action.application} to {redrive.destination}{before}"
    if action.options.dry_run:
        _foresee(action, redrive, places, choice)
    audit = action.approved(what, _total(reasons))
    if audit is None:
        return 0
    state: Any = "failed"
    try:
        with (
            locked(places.bucket, places.lock, _holder(action), now=action.now) as lock,
            action.in_order(),
            action.progress("redriven", reasons.total()) as progress,
        ):
            redrive.moved = progress.add
            redrive.stopping = lambda: action.stopping or lock.lost
            redrive.finish()
            if not redrive.stopping():
                redrive.run(choice, action.options.limit)
            state = "stopped" if redrive.stopping() else "done"
    finally:
        audit.end(state, redrive.counts.as_dict())
    print(_outcome(redrive.counts))
    complete = state == "done" and not redrive.counts.refused
    return _told(action, redrive.problems) if complete else EXIT_FAILED


def _foresee(action: Action, redrive: Redrive, places: Places, choice: Choice) -> None:
    """Says what of the chosen letters the settings would refuse again."""
    refused: Counter[str] = Counter()
    left = action.options.limit
    for source in places.sources(choice, []):
        for letter in source.chosen[:left]:
            prepared = redrive.prepared(letter, source.listed.key)
            if isinstance(prepared, Refusal):
                refused[prepared.reason] += 1
        left = None if left is None else max(0, left - len(source.chosen))
        if left == 0:
            break
    if refused:
        action.console.say(f"the settings refuse again: {_words(refused)}")


def _destination(action: Action, in_force: InForce) -> Destination:
    if action.settings.backend == "s3":
        from consumer.operate.dead_letters.to_s3 import S3Destination

        return S3Destination(action.settings, action.s3, _patience(action))
    from consumer.operate.dead_letters.to_bigquery import BigQueryDestination
    from consumer.sinks.bigquery.api.connection import HttpConnection

    return BigQueryDestination(
        action.settings, HttpConnection.of(action.settings), _patience(action), in_force
    )


def _transform(action: Action) -> Mend:
    return load_transform(action.options.transform) if action.options.transform else unchanged


def _reasons(
    action: Action, places: Places, choice: Choice, problems: list[str], *, may_be_empty: bool = False
) -> Counter[str]:
    """How many letters are chosen, by reason. Raises Refused where there is none."""
    letters = _letters(places, choice, action.options.limit, problems)
    reasons = Counter(letter.current_reason for letter in _counted(action, letters, "read"))
    if not reasons and not may_be_empty:
        places.refuse_unknown()
        for problem in problems:
            action.console.say(problem)
        raise Refused(
            f"nothing to do: no dead letter of {action.application} beneath s3://{places.bucket.name}/{places.own} is"
            " in this range"
        )
    return reasons


def _counted(action: Action, letters: Iterator[Letter], what: str) -> Iterator[Letter]:
    with action.progress(what) as progress:
        for letter in letters:
            progress.add()
            yield letter


def _holder(action: Action) -> Holder:
    return Holder.this_process(action.options.who or user_and_host(), action.command)


def _words(reasons: Counter[str]) -> str:
    by_reason = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
    return f"{reasons.total():,} dead letters{f' ({by_reason})' if by_reason else ''}"


def _total(reasons: Counter[str]) -> dict[str, int]:
    return {"letters": reasons.total()}


def _outcome(counts: Counts) -> str:
    parts = [f"{counts.redriven:,} redriven"]
    for count, words in (
        (counts.dropped, "dropped by the transform"),
        (counts.already, "were delivered before"),
        (counts.refused, "refused again and kept"),
    ):
        if count:
            parts.append(f"{count:,} {words}")
    return ", ".join(parts)


def _told(action: Action, problems: Sequence[str]) -> int:
    for problem in problems:
        action.console.say(problem)
    return EXIT_FAILED if problems else 0


def _number(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise ValueError
    return value


def _parser() -> argparse.ArgumentParser:
    parser = action_parser(
        "deadletters",
        "Lists and shows the dead letters of an application, delivers them again, or discards them. redrive can be"
        " interrupted and started again at any point: nothing is lost, and nothing is delivered twice.",
    )
    parser.add_argument(
        "action",
        choices=_ACTIONS,
        help="list: how many, by reason, hour and shard; show: the records; redrive: deliver them once more; discard:"
        " put them aside",
    )
    which = parser.add_argument_group("which dead letters (all of the application by default)")
    which.add_argument(
        "--reason", action="append", default=[], metavar="WORD", help="of this reason; repeatable"
    )
    which.add_argument(
        "--since", type=moment, metavar="TIME", help="arrived then or later: ISO 8601, or 2h, 3d ago"
    )
    which.add_argument("--until", type=moment, metavar="TIME", help="arrived before then")
    which.add_argument("--shard", action="append", default=[], metavar="ID", help="of this shard; repeatable")
    which.add_argument(
        "--key", action="append", default=[], metavar="KEY", help="with this partition key; repeatable"
    )
    which.add_argument(
        "--limit", type=_number, metavar="N", help=f"the oldest N at most (show: {_SHOWN} unless set)"
    )
    output = parser.add_argument_group("list and show")
    output.add_argument("--json", action="store_true", help="list: one JSON object; show: one a record")
    output.add_argument(
        "--mask", action="store_true", help="replace the values in payloads, keep their structure"
    )
    redrive = parser.add_argument_group("redrive")
    redrive.add_argument("--rate", type=_rate, metavar="N", help="at most N records a second")
    redrive.add_argument(
        "--transform",
        metavar="MODULE:FUNCTION",
        help="mend payloads: a Python function from a record to a record, a list of them, or None to drop it; from the"
        " payload where its parameter is annotated as bytes",
    )
    return parser
