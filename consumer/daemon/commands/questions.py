"""What `check` finds outside of the settings: one line a question, none of which changes anything for good."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from consumer.daemon.prepare.backend import count_open_shards
from consumer.daemon.prepare.object_sizes import object_size_checks
from consumer.daemon.prepare.preparation import NotReady, Unusable
from consumer.daemon.prepare.proxies import proxy_lines
from consumer.daemon.prepare.question import Answer, Check
from consumer.daemon.prepare.stream_quotas import stream_quota_checks
from consumer.daemon.supervise.java import worker_id
from consumer.daemon.supervise.own_directory import NotOurs, refuse_foreign
from consumer.daemon.supervise.state import directory_of
from consumer.domain.errors import MESSAGE_CHARACTERS, SetupError
from consumer.domain.excerpts import excerpt
from consumer.settings import Backend, Settings
from consumer.settings.loading import display_path, look_up

_AT_ONCE = 8
_OTHER: dict[Backend, Backend] = {"s3": "bigquery", "bigquery": "s3"}


def checks_of(settings: Settings, *, now: Callable[[], float]) -> list[Check]:
    """Every check of a backend, in the order in which to read them; `now` is the clock, in seconds since the epoch."""
    from consumer.daemon.prepare.aws_probes import aws_checks

    state = directory_of(settings, worker_id=worker_id(settings))
    here = Check(name="state directory", step=lambda: check_state_directory(state))
    proxies = [Check(name="proxies", step=lambda: check_proxies(settings))]
    if settings.backend == "s3":
        sizes = object_size_checks(settings, lambda: count_open_shards(settings), now=now)
        return [*proxies, *aws_checks(settings, now=now), *sizes, here]
    from consumer.daemon.prepare.bigquery_probes import bigquery_checks

    quotas = stream_quota_checks(settings, lambda: count_open_shards(settings))
    return [*proxies, *aws_checks(settings, now=now), *bigquery_checks(settings), *quotas, here]


def other_readers(settings: Settings, properties: Path) -> list[Answer]:
    """A note where the other backend's file beside ours polls the same stream, as we do; it is no fault."""
    file = properties.with_name(f"{_OTHER[settings.backend]}.properties")
    if settings["retrievalMode"] != "POLLING" or not file.is_file():
        return []
    theirs = {
        key: look_up(_OTHER[settings.backend], key, file=file)
        for key in ("streamName", "streamArn", "regionName", "retrievalMode")
    }
    ours = {key: settings.optional_text(key) for key in theirs}
    if theirs != ours:
        return []
    note = (
        f"{display_path(file)} polls this stream too, and all that poll a shard share 2 MB/s and 5 reads a second:"
        " two that lag on a full shard get 1 MB/s each, and neither catches up. retrievalMode = FANOUT gives an"
        " application 2 MB/s of its own, and is billed (docs/services.md)"
    )
    return [Answer(name="other readers", ok=True, message=note)]


def check_proxies(settings: Settings) -> str:
    """By which proxy each service is asked."""
    try:
        lines = proxy_lines(settings)
    except SetupError as error:
        raise Unusable(str(error)) from error
    return "; ".join(lines) or "none is used"


def check_state_directory(path: Path) -> str:
    """Whether this user can write there, or make it there, and nobody else has made it; makes nothing."""
    nearest = next(one for one in (path, *path.parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise Unusable(
            f"worker.state_dir: {path} cannot be written by user {os.geteuid()}, because of {nearest}"
        )
    try:
        refuse_foreign(path)
    except NotOurs as error:
        raise Unusable(f"worker.state_dir: {error}") from error
    return f"{path} can be written"


def ask_all(checks: Sequence[Check]) -> list[Answer]:
    """The answers in the order of the checks, which are asked several at once. Blocks until all are there."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as threads:
        return list(threads.map(_ask, checks))


def _ask(check: Check) -> Answer:
    try:
        return Answer(name=check.name, ok=True, message=check.step())
    except (Unusable, NotReady) as error:
        return Answer(name=check.name, ok=False, message=str(error))
    except Exception as error:  # noqa: BLE001 - one check that fails in a new way must not hide the others
        said = excerpt(f"{type(error).__name__}: {error}", MESSAGE_CHARACTERS)
        return Answer(name=check.name, ok=False, message=said)
