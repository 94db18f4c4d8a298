"""Stands in for the JVM and does what a test tells it (harness/told_jvm.py), a line at a time, on the socket that
JVM_TOLD names.

open          starts what the KCL's file names for a shard, and answers with the descriptors of its standard streams
say LINE      writes LINE, as the KCL's log is written
exit CODE     ends

SIGTERM is passed on to the test as the line "term".
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # behind PYTHONPATH, from where the daemon's own code comes

from tests.functional.fake_java import executable


def main() -> None:
    test = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    test.connect(os.environ["JVM_TOLD"])
    signal.signal(signal.SIGTERM, lambda *_: test.sendall(b"term\n"))
    signal.signal(signal.SIGCHLD, reap)
    test.sendall(b"%d\n" % os.getpid())
    for line in test.makefile("rb"):
        word, _, rest = line.decode().rstrip("\n").partition(" ")
        match word:
            case "open":
                open_shard(test)
            case "say":
                print(rest, flush=True)
            case "exit":
                os._exit(int(rest))


def open_shard(test: socket.socket) -> None:
    shard = subprocess.Popen(executable(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert shard.stdin is not None
    assert shard.stdout is not None
    socket.send_fds(test, [b"%d\n" % shard.pid], [shard.stdin.fileno(), shard.stdout.fileno()])
    shard.stdin.close()
    shard.stdout.close()
    shards.append(shard)  # or it would be waited for as garbage


def reap(*_: object) -> None:
    for shard in shards:
        shard.poll()


shards: list["subprocess.Popen[bytes]"] = []

if __name__ == "__main__":
    main()
