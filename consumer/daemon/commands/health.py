"""`health`: asks every daemon that runs from a state directory about itself, for health checks of containers.

A container that fails its check is replaced, which cures a supervisor that does not answer. It does not cure an
outage of the backend, which the daemon waits out: that fails only with `--strict`.
"""

from __future__ import annotations

import argparse
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from consumer.daemon.commands.arguments import default_properties
from consumer.daemon.commands.running import running
from consumer.settings import BACKENDS, PROJECT_ROOT, Settings, look_up

_SECONDS = 5.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """`alive` is whether it answers at all, `fault` why it is not well."""

    alive: bool
    fault: str | None = None


def health_main(arguments: Sequence[str]) -> int:
    """Runs `health`; returns 0 when at least one daemon runs and all that run answer (`--strict`: are well)."""
    options = _parser().parse_args(arguments)
    places = _state_dirs(options)
    found = [one.settings for place in places for one in running(place)]
    answers = {settings.text("applicationName"): _ask(settings) for settings in found}
    for application, answer in answers.items():
        print(f"{application}: {answer.fault or 'healthy'}")
    if not answers:
        print(f"no daemon runs from {' or '.join(map(str, places))}")
        return 1
    return 0 if all(one.alive and not (options.strict and one.fault) for one in answers.values()) else 1


def _state_dirs(options: argparse.Namespace) -> list[Path]:
    """Each once: those that the options name, or those where the daemons of this host's settings keep their state."""
    if options.state_dir:
        return [options.state_dir]
    found = [
        look_up(backend, "worker.state_dir", file=file, environment=os.environ)
        for backend in BACKENDS
        for file in options.properties or [default_properties(backend)]
    ]
    return sorted({PROJECT_ROOT / text for text in found if text})


def _ask(settings: Settings) -> _Answer:
    if not settings.integer("http.port"):
        return _Answer(alive=True, fault="http.port is 0: nothing tells of its health")
    host = _ANY_ADDRESS.get(settings.text("http.host"), settings.text("http.host"))
    host = f"[{host}]" if ":" in host else host
    # not by a proxy of the environment: to that, this host's loopback interface is its own
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{host}:{settings['http.port']}/healthz", timeout=_SECONDS):
            return _Answer(alive=True)
    except urllib.error.HTTPError as error:
        with error:
            return _Answer(alive=True, fault=_reasons(error.read()))
    except OSError as error:
        return _Answer(alive=False, fault=f"no answer: {error}")


def _reasons(body: bytes) -> str:
    try:
        return "; ".join(msgspec.json.decode(body, type=_Status).reasons)
    except msgspec.MsgspecError:
        return "unhealthy"


class _Status(msgspec.Struct):
    reasons: list[str]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="health", description="Ends with 0 when the daemons that run here answer."
    )
    parser.add_argument("--strict", action="store_true", help="only when they are healthy as well")
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIRECTORY",
        help="their worker.state_dir (default: what their settings say)",
    )
    parser.add_argument(
        "--properties",
        type=Path,
        action="append",
        metavar="FILE",
        help="settings that name worker.state_dir (default: properties/BACKEND.properties); can be repeated",
    )
    return parser
