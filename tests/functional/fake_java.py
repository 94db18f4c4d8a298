"""Stands in for the JVM: starts one shard process and ends as its options say. Options come from jvm.options.

--exit=N         ends at once with code N
--crash          says that a shard process has failed it, and then takes its time
--early          is still starting: SIGTERM finds no handler and there is no shard process
--ignore-term    takes no notice of SIGTERM
--term-code=N    ends with code N after SIGTERM
--shard=OPTION   hands an option to the shard process (fake_shard.py)
--real           starts what the KCL's file names for each shard, and tells it its shard
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

INITIALIZE = (
    b'{"action":"initialize","shardId":"shardId-000000000000",'
    b'"sequenceNumber":"TRIM_HORIZON","subSequenceNumber":0}\n'
)


def option(name: str) -> str | None:
    return next((word.partition("=")[2] for word in sys.argv if word.partition("=")[0] == name), None)


def main() -> None:
    ended = option("--exit")
    if ended is not None:
        sys.exit(int(ended))
    if "--early" in sys.argv:
        print("starting", flush=True)
        signal.pause()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "--ignore-term" in sys.argv else on_term)
    shard_options = [word.partition("=")[2] for word in sys.argv if word.startswith("--shard=")]
    global shard
    program = [sys.executable, str(Path(__file__).with_name("fake_shard.py")), *shard_options]
    if "--real" in sys.argv:
        program = executable()
    shard = subprocess.Popen(program, stdin=subprocess.PIPE)
    if "--real" in sys.argv:
        assert shard.stdin is not None
        shard.stdin.write(INITIALIZE)
        shard.stdin.flush()
    print(f"jvm={os.getpid()} shard={shard.pid}", flush=True)
    if "--crash" in sys.argv:
        what = "Encountered an error while trying to process records"
        print(f"kcl|ERROR|MultiLangShardRecordProcessor|{what}", flush=True)
    while True:
        signal.pause()


def executable() -> list[str]:
    """executableName, split as the KCL splits it."""
    lines = Path(sys.argv[sys.argv.index("--properties-file") + 1]).read_text().splitlines()
    pairs = [line.partition("=") for line in lines]
    return next(value.split() for key, _, value in pairs if key.strip() == "executableName")


def on_term(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not come in between
    assert shard.stdin is not None
    shard.stdin.close()
    if "--shard=--stay" not in sys.argv:
        shard.wait()
    os._exit(int(option("--term-code") or 143))


shard: subprocess.Popen[bytes]

if __name__ == "__main__":
    main()
