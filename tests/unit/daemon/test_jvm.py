"""One run of the JVM, with other programs in its place."""

import asyncio
import os
import signal

from consumer.daemon.supervise import processes
from consumer.daemon.supervise.forked import Forked
from consumer.daemon.supervise.java import JavaCommand
from consumer.daemon.supervise.jvm import Jvm

_DEADLINE_SECONDS = 60.0


def test_a_jvm_that_runs_on_without_shard_processes_is_seen() -> None:
    """As after the failure of its only one: nobody needs the time that the KCL still takes."""

    async def watched() -> None:
        script = "sleep 600 & echo $!; wait; exec sleep 600"
        said: asyncio.Queue[str] = asyncio.Queue()
        command = JavaCommand(arguments=("/bin/sh", "-c", script), environment=os.environ)
        jvm = Jvm.start(command, said.put_nowait, Forked())
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                shard_process = int(await said.get())
                waiting = asyncio.create_task(jvm.without_shard_processes())
                await asyncio.sleep(0)
                assert not waiting.done()
                os.kill(shard_process, signal.SIGKILL)
                await waiting
            assert processes.runs_in(jvm.pid, jvm.pid)
        finally:
            jvm.kill()
            await jvm.wait()
            await jvm.clean_up()

    asyncio.run(watched())
