"""The reference page of the log, made from the table: python -m consumer.daemon.report.log_page > docs/logs.md"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from consumer.daemon.report.log import format_json, format_line
from consumer.domain.event_names import EVENTS

_NOW = 1_800_000_000.0
_MESSAGE = "delivery failed and is repeated (attempt 4): 503 SlowDown"
_SHARD = "shardId-000000000007"
_HEAD = f"""\
# Logs

This page is made from the table in `consumer/domain/event_names.py` by
`python -m consumer.daemon.report.log_page > docs/logs.md`.

The daemon writes one line per event to standard error, those of its shard processes, of the JVM and of the KCL
included. `log.level` says from which level on, `log.format` in which form; `auto`, the default, is text on a terminal
and in systemd's journal, and JSON elsewhere, as in a container:

```
{format_line(now=_NOW, level="WARNING", backend="s3", shard=_SHARD, message=_MESSAGE)}
```
```json
{
    format_json(
        now=_NOW,
        level="WARNING",
        event="delivery_retried",
        application="player-log-s3",
        backend="s3",
        message=_MESSAGE,
        shard=_SHARD,
        fields={"what": "delivery", "error": "throttled", "attempt": 4},
    )
}
```

A JSON line is ASCII and has `time`, `level` (DEBUG, INFO, WARNING, ERROR), `application`, `backend`, `shard` where it
is of one, `event`, `message`, and fields of the event. What keeps failing is logged ever more rarely, with the number
of times, and once more when it is over. The KCL's own log, from `jvm.log_level` on, stands in `kcl.log` in the state
directory.

## Events

Search and alarm by these names: they stay as they are where the words of a message change.

"""


def page() -> str:
    """The whole page in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD + "| event | what has happened |"
    yield "| --- | --- |"
    for name, meaning in EVENTS.items():
        yield f"| `{name}` | {meaning} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page())
