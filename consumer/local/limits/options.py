"""The options of `bin/local`, `bin/demo` and `bin/chaos`, and how they reach the embedded services."""

import argparse

import msgspec

from consumer.local.limits.table import Limits, parsed


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--limits`, `--limits-scale` and `--limit`; see `chosen`."""
    group = parser.add_argument_group("limits of the real services (docs/chaos.md)")
    group.add_argument(
        "--limits", action="store_true", help="the embedded services limit and refuse as the real ones do"
    )
    group.add_argument(
        "--limits-scale",
        type=_scale,
        metavar="X",
        help="hours and days of the limits pass X times as fast: with 8640, three days are 30 s",
    )
    group.add_argument(
        "--limit",
        type=_limit,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a limit of consumer/local/limits/table.py; repeatable",
    )


def chosen(arguments: argparse.Namespace) -> Limits | None:
    """The limits that were asked for: by `--limits`, or by an option that says more about them."""
    if not (arguments.limits or arguments.limits_scale or arguments.limit):
        return None
    return Limits(scale=arguments.limits_scale or 1.0, given=dict(arguments.limit))


def for_command(limits: Limits | None) -> list[str]:
    """The options again, for another command."""
    if limits is None:
        return []
    given = [f"--limit={name}={value}" for name, value in limits.given.items()]
    return ["--limits", f"--limits-scale={limits.scale}", *given]


def add_child_option(parser: argparse.ArgumentParser) -> None:
    """What an embedded service is told; see `for_child`."""
    parser.add_argument("--limits", type=_decoded, default=None)


def for_child(limits: Limits | None) -> list[str]:
    return [] if limits is None else ["--limits", msgspec.json.encode(limits).decode()]


def _limit(text: str) -> tuple[str, float]:
    try:
        return parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _scale(text: str) -> float:
    try:
        return Limits(scale=float(text)).scale
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _decoded(text: str) -> Limits:
    return msgspec.json.decode(text.encode(), type=Limits)
