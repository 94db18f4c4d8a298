"""`checkpoint BACKEND show|set|undo`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from consumer.daemon.commands.arguments import FindEmbedded
from consumer.operate.action import Action, action_parser, run_action
from consumer.operate.checkpoint.places import Word, goal
from consumer.operate.checkpoint.setting import set_positions
from consumer.operate.checkpoint.showing import show
from consumer.operate.checkpoint.undoing import undo

_ACTIONS = {"show": show, "set": set_positions, "undo": undo}


def checkpoint_main(
    arguments: Sequence[str], *, find_embedded: FindEmbedded | None = None, **seams: Any
) -> int:
    """Returns 0 when it did what was asked, 1 when it refused or failed, 2 for wrong usage. `seams` are those of
    run_action."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.action == "set" and options.to is None:
        parser.error("set: --to is missing: where reading is to go on")
    if options.action == "undo" and options.of is None:
        parser.error("undo: --of is missing: what `set` has printed at its end")

    def act(action: Action) -> int:
        return _ACTIONS[options.action](action)

    return run_action(f"checkpoint {options.action}", options, find_embedded, act, **seams)


def _parser() -> argparse.ArgumentParser:
    parser = action_parser(
        "checkpoint",
        "Shows where an application goes on reading each shard, as a time; moves it to another place, while no worker"
        " runs; or takes such a move back.",
    )
    parser.add_argument(
        "action",
        choices=_ACTIONS,
        help="show: positions and their distance to the tip; set: move them; undo: put back what a `set` has changed",
    )
    parser.add_argument(
        "--to",
        type=goal,
        metavar="PLACE",
        help="set: a time (2026-01-31T12:00Z, or 2h ago); for one shard the sequence number behind which to go on, as"
        f" `show` prints it; or {', '.join(Word.__members__)}: behind all that there is, before all of it, or where it"
        " is, where counting begins anew with storage_write",
    )
    parser.add_argument(
        "--shards",
        nargs="+",
        default=[],
        metavar="ID",
        help="these alone; those that came of them keep their places, and go on when these are read to their end",
    )
    parser.add_argument("--of", metavar="KEY", help="undo: the object that `set` has named")
    parser.add_argument("--json", action="store_true", help="show: one JSON object a line")
    return parser
