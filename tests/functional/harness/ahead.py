"""A shard process for which days can pass at once: `ahead.py FILE` runs it with a monotonic clock that is ahead by the
seconds in the file."""

import runpy
import sys
import time
from pathlib import Path

_own = time.monotonic
_file = Path(sys.argv.pop(1))


def _ahead() -> float:
    return _own() + float(_file.read_text())


time.monotonic = _ahead
runpy.run_module("consumer.shard", run_name="__main__", alter_sys=True)
