"""Stands in for a shard process: reports itself, takes SIGTERM as "drain", and ends with its standard input.

--hung           reports that the KCL called it long ago
--stay           does not end with its standard input
--held           reports that it holds
--forge          sends a message with a line end and a colour in it
"""

import os
import signal
import socket
import sys
import time

from consumer.domain.events import Event, LogEvent, StatusEvent, encode

NAME = "shardId-000000000000"


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: send(log("draining")))
    send(status())
    send(log("reported"))
    if "--forge" in sys.argv:
        send(log("first\n\x1b[31m forged"))
    while sys.stdin.buffer.read(1):
        pass
    while "--stay" in sys.argv:
        signal.pause()


def status() -> StatusEvent:
    called = 0.0 if "--hung" in sys.argv else time.time()
    return StatusEvent(
        shard=NAME,
        pid=os.getpid(),
        state="running",
        last_callback_ms=int(called * 1000),
        held="too many bad records" if "--held" in sys.argv else None,
    )


def log(message: str) -> LogEvent:
    return LogEvent(level="INFO", shard=NAME, pid=os.getpid(), message=message)


def send(event: Event) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(encode(event), os.environ["CONSUMER_EVENTS"])


if __name__ == "__main__":
    main()
