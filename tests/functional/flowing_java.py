"""Stands in for the JVM and the stream: hands one shard process record after record, from the checkpoint on, until
SIGTERM. The checkpoint is in the file that CHECKPOINT names; it outlives the process, as the KCL's lease table does.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # behind PYTHONPATH, from where the daemon's own code comes

from tests.functional.fake_java import executable
from tests.functional.harness.kcl import as_kcl_line, records

SHARD = "shardId-000000000000"


def main() -> None:
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    checkpoint = Path(os.environ["CHECKPOINT"])
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    shard = subprocess.Popen(executable(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    print(f"jvm={os.getpid()} shard={shard.pid}", flush=True)
    start = str(done) if done else "TRIM_HORIZON"
    call(shard, checkpoint, action="initialize", shardId=SHARD, sequenceNumber=start, subSequenceNumber=0)
    while not stopping:
        done += 1
        call(shard, checkpoint, action="processRecords", records=records([done]), millisBehindLatest=0)
    call(shard, checkpoint, action="shutdownRequested")
    assert shard.stdin is not None
    shard.stdin.close()
    shard.wait()
    sys.exit(143)


def call(shard: subprocess.Popen[bytes], checkpoint: Path, **message: Any) -> None:
    """Sends a message and grants every checkpoint until its status comes."""
    assert shard.stdin is not None
    assert shard.stdout is not None
    shard.stdin.write(as_kcl_line(message))
    shard.stdin.flush()
    for line in shard.stdout:
        answer = json.loads(line) if line.strip() else {}
        if answer.get("action") == "status":
            return
        if answer.get("action") == "checkpoint":
            fresh = checkpoint.with_suffix(".fresh")
            fresh.write_text(answer["sequenceNumber"])
            fresh.replace(checkpoint)
            shard.stdin.write(as_kcl_line(answer))
            shard.stdin.flush()
    sys.exit("the shard process has ended")


if __name__ == "__main__":
    main()
