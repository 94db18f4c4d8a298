"""Stands in for the JVM with as many shard processes as CROWD says, each of which tells of itself once a second, with
figures in all of its parts that grow."""

import os
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # behind PYTHONPATH, from where the daemon's own code comes

import msgspec

from consumer.domain.events import encode
from tests.unit.daemon.statuses import event


def main() -> None:
    jvm = os.getpid()
    for number in range(int(os.environ["CROWD"])):
        if os.fork() == 0:
            report(number, jvm)
    print(f"jvm={jvm}", flush=True)
    signal.pause()


def report(number: int, jvm: int) -> None:
    """Until the JVM ends."""
    status = event(number)
    started_ms = int(time.time() * 1000)
    total: Counter[str] = Counter()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        while os.getppid() == jvm:
            total.update(status.counters)
            now_ms = int(time.time() * 1000)
            told = msgspec.structs.replace(
                status,
                pid=os.getpid(),
                started_ms=started_ms,
                counters=dict(total),
                in_flight_records=total["records_read"]
                - sum(total[name] for name in ("records_delivered", "dead_letters", "records_left")),
                oldest_undelivered_ms=now_ms - 12_500 - number,
                oldest_undelivered_read_ms=now_ms - 12_000,
                last_checkpoint_ms=now_ms - 4_250,
                last_callback_ms=now_ms,
            )
            sender.sendto(encode(told), os.environ["CONSUMER_EVENTS"])
            time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main()
