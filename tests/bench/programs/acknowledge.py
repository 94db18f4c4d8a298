"""A child that answers and does nothing else: what it costs is the reading of the pipe.

Given a file, it appends to it a line for each message: the number of records, found as cheaply as can be.
"""

import json
import os
import sys

_READ_BYTES = 64 * 1024
_HEAD_BYTES = 200


def main() -> None:
    counts = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT) if sys.argv[1:] else None
    head = b""
    braces = 0
    while piece := os.read(0, _READ_BYTES):
        head = (head + piece)[:_HEAD_BYTES]
        braces += piece.count(b"{") if counts is not None else 0
        if piece.endswith(b"\n"):  # the KCL waits for the answer, so nothing follows a message
            action = head.split(b'"action":"', 1)[1].split(b'"', 1)[0].decode()
            if counts is not None:  # one brace is the message's; base64 has none
                os.write(counts, b"%d\n" % (braces - 1))
            sys.stdout.write(f"\n{json.dumps({'action': 'status', 'responseFor': action})}\n")
            sys.stdout.flush()
            head = b""
            braces = 0


if __name__ == "__main__":
    main()
