"""The shard process, which adds up the CPU time of what it does for those who watch it.

Written to the file that WATCHED_VARIABLE names, in seconds: `counting` grows with chunks and requests, `telling`
(reports, looking for taps, samples) with time. What a look at the clock takes, as much as some of these calls, is left
out.
"""

from consumer.shard.process.patching import patch_all

patch_all()

import functools  # noqa: E402 - sockets and threads are patched before anything uses them
import json  # noqa: E402
import os  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from consumer.shard.delivery.status import ShardStatus  # noqa: E402
from consumer.shard.delivery.taps import Listeners, Sampled, Taps  # noqa: E402
from consumer.shard.process import entry  # noqa: E402
from tests.bench.programs import WATCHED_VARIABLE  # noqa: E402

_CALIBRATION = "calibration"
_CALIBRATING_CALLS = 2000

spent_ns: Counter[str] = Counter()
calls: Counter[str] = Counter()
_is_inside = False


def timed(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """None of what is timed switches to another greenlet."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        global _is_inside
        if _is_inside:
            return function(*arguments, **named)
        _is_inside = True
        began = time.thread_time_ns()
        try:
            return function(*arguments, **named)
        finally:
            calls[kind] += 1
            spent_ns[kind] += time.thread_time_ns() - began
            _is_inside = False

    return wrapper


def end(code: int) -> None:
    nothing = timed(lambda: None, _CALIBRATION)
    for _ in range(_CALIBRATING_CALLS):
        nothing()
    clock_ns = spent_ns[_CALIBRATION] / _CALIBRATING_CALLS
    seconds = {
        kind: max(0.0, spent_ns[kind] - calls[kind] * clock_ns) / 1e9 for kind in ("counting", "telling")
    }
    Path(os.environ[WATCHED_VARIABLE]).write_text(json.dumps(seconds))
    os._exit(code)


if __name__ == "__main__":
    for owner in (ShardStatus, Listeners, Taps, Sampled):
        for name, function in vars(owner).items():
            if callable(function) and not name.startswith("_"):
                counts = owner is ShardStatus and name != "report"
                setattr(owner, name, timed(function, "counting" if counts else "telling"))
    entry._exit = end  # type: ignore[assignment]
    entry.main()
