"""What the KCL starts for each shard: answers every message, and tells by a file how many records have come.

TRAINING_FOLDER=… python -m training.child
"""

import json
import os
import sys
from pathlib import Path

_READ_BYTES = 64 * 1024
_HEAD_BYTES = 200


def main() -> None:
    counts = (Path(os.environ["TRAINING_FOLDER"]) / f"{os.getpid()}.count").open("w", buffering=1)
    head, braces = b"", 0
    while piece := os.read(0, _READ_BYTES):
        head = (head + piece)[:_HEAD_BYTES]
        braces += piece.count(b"{")  # one is the message's, and base64 has none
        if piece.endswith(b"\n"):  # the KCL waits for the answer, so nothing follows a message
            action = head.split(b'"action":"', 1)[1].split(b'"', 1)[0].decode()
            counts.write(f"{braces - 1}\n")
            sys.stdout.write(f"\n{json.dumps({'action': 'status', 'responseFor': action})}\n")
            sys.stdout.flush()
            head, braces = b"", 0


if __name__ == "__main__":
    main()
