"""A command of the daemon that is killed at its request to a backend of a number: `python -m … NUMBER COMMAND…`.

Counted are requests to AWS and BigQuery, or those of one method (`6:PUT`); an odd number kills before it is sent, an
even one behind its answer. 0 kills never.
"""

import os
import signal
import sys
from typing import Any

import botocore.httpsession

from consumer import cli
from consumer.sinks.bigquery.api.connection import HttpConnection


class Counter:
    def __init__(self, number: int, method: str) -> None:
        self._number = number
        self._method = method
        self._count = 0

    def around(self, owner: Any, name: str) -> None:
        """Counts the calls of a method."""
        original = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            if self._method and self._method != getattr(arguments[1], "method", None):
                return original(*arguments, **named)
            self._point()
            answer = original(*arguments, **named)
            self._point()
            return answer

        setattr(owner, name, counted)

    def _point(self) -> None:
        self._count += 1
        if self._count == self._number:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    number, _, method = sys.argv[1].partition(":")
    counter = Counter(int(number), method)
    counter.around(botocore.httpsession.URLLib3Session, "send")
    counter.around(HttpConnection, "request")
    sys.exit(cli.main(sys.argv[2:]))
