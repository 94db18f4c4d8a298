"""Makes the JVM's AOT cache: runs the KCL on prepared records until its hot methods are compiled, and has the JVM write
down what it has learnt.

    python -m training

Exit status 0 when it is made, and when it cannot be: the JVM then starts without, and the last line says why.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from consumer.daemon.errors import StartFailed
from consumer.daemon.supervise import aot_cache
from consumer.daemon.supervise.java import JavaCommand, jars_folder, java_executable, worker_id
from consumer.daemon.supervise.service import render_files
from consumer.daemon.supervise.state import StateDirectory, locked
from consumer.settings import Settings, load
from consumer.settings.properties_file import render
from training import aws

_HEAP_MIB = 512
_RECORDS = 120_000
_TRAIN_SECONDS = 180.0
_END_SECONDS = 60.0
_CREATE_SECONDS = 90.0
_LOOK_SECONDS = 0.2
_LAST_LINES = 5


class Failed(Exception):
    """Why there is no cache."""


async def make(folder: Path) -> Path:
    """The cache, made in this folder. Raises Failed, StartFailed or OSError."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings = _settings(folder, port=listener.getsockname()[1])
    with locked(folder / "state" / aws.APPLICATION, warn=print) as state:
        command = _command(settings, state, folder)
        configuration, cache = folder / "training.aotconf", folder / "training.aot"
        async with _serving(listener):
            await _record(command, configuration, folder)
        await _create(command, configuration, cache, folder)
    return cache


def _settings(folder: Path, *, port: int) -> Settings:
    """Production's, but for endpoints and for what makes the KCL wait."""
    endpoint = f"http://127.0.0.1:{port}"
    return load(
        "s3",
        overrides={
            "applicationName": aws.APPLICATION,
            "streamName": aws.STREAM,
            "kinesisEndpoint": endpoint,
            "dynamoDBEndpoint": endpoint,
            "s3.bucket": "training",
            "worker.state_dir": str(folder / "state"),
            "worker.id": "training",
            "idleTimeBetweenReadsInMillis": "200",
            "failoverTimeMillis": "3000",  # of which the KCL waits for one at its end
            "leaseAssignmentIntervalMillis": "200",
            "workerMetricsReporterFreqInMillis": "1000",
            "shutdownGraceMillis": "1000",
            "shard.fork_server": "false",
        },
    )


def _command(settings: Settings, state: StateDirectory, folder: Path) -> JavaCommand:
    """As the supervisor has it, with our own program for a shard process."""
    keys = {
        "AWS_ACCESS_KEY_ID": "training",
        "AWS_SECRET_ACCESS_KEY": "training",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CONSUMER_"))}
    command = render_files(settings, state, {**kept, **keys, "TRAINING_FOLDER": str(folder)})
    own = {
        "executableName": f"{Path(sys.executable).name} -m training.child",
        "processingLanguage": "python/3",
        "workerId": worker_id(settings),
    }
    state.write(state.kcl_properties, render({**settings.kcl, **own}).encode("ascii"))
    return command.with_heap(_HEAP_MIB)


async def _record(command: JavaCommand, configuration: Path, folder: Path) -> None:
    """Until so many records are read; then the JVM is asked to end, and writes."""
    options = ("-XX:AOTMode=record", f"-XX:AOTConfiguration={configuration}")
    async with _running(command.with_options(*options), folder / "record.log") as process:
        ended = asyncio.create_task(process.wait())
        async with asyncio.timeout(_TRAIN_SECONDS):
            while _records_read(folder) < _RECORDS:
                if ended.done():
                    raise Failed(f"the KCL ended: {_last_lines(folder / 'record.log')}")
                await asyncio.sleep(_LOOK_SECONDS)
        process.terminate()
        async with asyncio.timeout(_END_SECONDS):
            await ended
    if not configuration.exists():
        raise Failed(f"the JVM wrote nothing down: {_last_lines(folder / 'record.log')}")


async def _create(command: JavaCommand, configuration: Path, cache: Path, folder: Path) -> None:
    options = ("-XX:AOTMode=create", f"-XX:AOTConfiguration={configuration}", f"-XX:AOTCache={cache}")
    async with _running(command.with_options(*options), folder / "create.log") as process:
        async with asyncio.timeout(_CREATE_SECONDS):
            code = await process.wait()
    if code != 0 or not cache.exists():
        raise Failed(f"the JVM made none: {_last_lines(folder / 'create.log')}")


@asynccontextmanager
async def _running(command: JavaCommand, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """In a session of its own, of which nothing is left at the end."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command.arguments,
            env=dict(command.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def _serving(listener: socket.socket) -> AsyncIterator[None]:
    """It closes the socket."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "ERROR"
    app: Any = aws.app
    for_ever = asyncio.Event().wait  # without it, hypercorn would take our signals
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=for_ever, mode="asgi"))
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def _records_read(folder: Path) -> int:
    return sum(int(line) for file in folder.glob("*.count") for line in file.read_text().split())


def _last_lines(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])


def main() -> None:
    print("training: for a minute: the KCL on prepared records, so that it starts warm", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=aot_cache.file().parent) as scratch:
        try:
            settings = load("s3", overrides={"s3.bucket": "training"})
            java, jars = java_executable(settings), jars_folder()
            made = asyncio.run(make(Path(scratch)))
            aot_cache.publish(made, java, jars)
        except TimeoutError:
            error = "it took too long"
        except (Failed, StartFailed, OSError) as failure:
            error = str(failure)
        except Exception as bug:  # noqa: BLE001 - whatever is wrong here, set-up goes on: nothing needs the cache
            error = "".join(traceback.format_exception_only(bug)).strip()
        else:
            return
    aot_cache.give_up(error)
    print(
        f"training: no AOT cache for the JVM, which starts some seconds later without it: {error}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
