"""The KCL's side of the MultiLang protocol: starts the real shard process and talks to it through pipes."""

import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from consumer.settings import Settings

PROJECT = Path(__file__).resolve().parents[3]
SAFETY_SECONDS = 30.0
"""Nothing here takes so long: the limit turns a hang into a failure."""

type Message = dict[str, Any]
type Answer = Callable[[Message], Message | None]
"""From a checkpoint request to the reply; None leaves the process waiting."""


class Ended(Exception):
    """The shard process has closed its output."""


def accept(request: Message) -> Message:
    return {**request}


def refuse(error: str) -> Answer:
    return lambda request: {**request, "error": error}


def never(request: Message) -> None:
    return None


def refuse_first(error: str, times: int = 1) -> Answer:
    """Refuses so many requests, then accepts."""
    left = [error] * times
    return lambda request: {**request, "error": left.pop()} if left else accept(request)


def record(
    sequence: int | str, data: bytes = b"{}", *, sub: int = 0, arrival_ms: int = 1_700_000_000_000
) -> Message:
    return {
        "action": "record",
        "data": base64.b64encode(data).decode(),
        "partitionKey": f"key-{sequence}",
        "sequenceNumber": str(sequence),
        "subSequenceNumber": sub,
        "approximateArrivalTimestamp": arrival_ms,
    }


def records(sequences: Iterable[int]) -> list[Message]:
    """Records whose payload names their sequence number."""
    return [record(number, payload(number)) for number in sequences]


def payload(number: int) -> bytes:
    return f'{{"n":{number}}}'.encode()


def as_line(message: Message) -> bytes:
    """As amazon_kclpy writes it."""
    return json.dumps(message).encode() + b"\n"


def as_kcl_line(message: Message) -> bytes:
    """As the KCL writes it: without white space, which leaves its records to the C library."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def child_environment(settings_file: Path, events: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CONSUMER_"))}
    added = {
        "CONSUMER_SETTINGS": str(settings_file),
        "PYTHONPATH": str(PROJECT),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        **({"CONSUMER_EVENTS": str(events)} if events else {}),
    }
    return {**kept, **added}


class Conversation:
    """With a shard process that runs. `asked` and `confirmed` hold checkpoints as (sequence, sub-sequence); `output` is
    every byte that the process wrote to its stdout. `patience` are the seconds in which it has to say something."""

    patience = SAFETY_SECONDS

    def __init__(self, to_process: IO[bytes], from_process: IO[bytes]) -> None:
        self.answer: Answer = accept
        self.asked: list[tuple[str | None, int | None]] = []
        self.confirmed: list[tuple[str | None, int | None]] = []
        self.output = bytearray()
        self._to_process = to_process
        self._from_process = from_process
        self._messages: queue.Queue[Message | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def stderr(self) -> str:
        """What the process has written there, as far as it is known."""
        return ""

    # Messages

    def initialize(self, start: str = "TRIM_HORIZON", shard: str = "shardId-000000000001") -> None:
        self.call({"action": "initialize", "shardId": shard, "sequenceNumber": start, "subSequenceNumber": 0})

    def give(self, some: Sequence[Message], *, behind_ms: int | None = 60_000) -> None:
        """Send `processRecords` without waiting for its status."""
        self.send({"action": "processRecords", "records": list(some), "millisBehindLatest": behind_ms})

    def process(self, some: Sequence[Message], *, behind_ms: int | None = 60_000) -> None:
        self.give(some, behind_ms=behind_ms)
        self.status_of("processRecords")

    def tick_until_confirmed(self, sequence: int | str, sub: int | None = None) -> None:
        """Empty `processRecords` calls, as an idle shard gets them, until the checkpoint was taken."""
        while (str(sequence), sub) not in self.confirmed:
            self.process([])

    def shut_down(self) -> None:
        self.call({"action": "shutdownRequested"})

    def end_shard(self) -> None:
        self.call({"action": "shardEnded"})

    def lose_lease(self) -> None:
        self.call({"action": "leaseLost"})

    def call(self, message: Message) -> None:
        self.send(message)
        self.status_of(message["action"])

    # Their parts

    def send(self, message: Message) -> None:
        self.write(as_kcl_line(message))

    def write(self, data: bytes) -> None:
        self._to_process.write(data)
        self._to_process.flush()

    def status_of(self, action: str) -> None:
        """Answer checkpoint requests until the status line comes."""
        while (message := self.next())["action"] == "checkpoint":
            self.reply(message)
        assert message == {"action": "status", "responseFor": action}

    def next_request(self) -> Message:
        """The next line, which has to be a checkpoint request; it is left unanswered."""
        message = self.next()
        assert message["action"] == "checkpoint", message
        return message

    def reply(self, request: Message) -> None:
        position = (request["sequenceNumber"], request["subSequenceNumber"])
        self.asked.append(position)
        answer = self.answer(request)
        if answer is not None:
            if answer == request:
                self.confirmed.append(position)
            self.send(answer)

    def next(self) -> Message:
        """The next line that the process writes; raises Ended at the end of its output."""
        try:
            message = self._messages.get(timeout=self.patience)
        except queue.Empty:
            raise AssertionError(f"the shard process says nothing; stderr: {self.stderr}") from None
        if message is None:
            raise Ended(self.stderr)
        return message

    @property
    def is_silent(self) -> bool:
        """Whether every line that came was taken."""
        return self._messages.empty()

    # The end

    def close_input(self) -> None:
        self._to_process.close()

    def close(self) -> None:
        """After the end of the process."""
        self._listener.join(SAFETY_SECONDS)
        for pipe in (self._to_process, self._from_process):
            with contextlib.suppress(BrokenPipeError):  # bytes that the process did not read
                pipe.close()

    def _listen(self) -> None:
        for line in self._from_process:
            self.output += line
            if line.strip():
                self._messages.put(_decoded(line))
        self._messages.put(None)


class Kcl(Conversation):
    """A conversation with a shard process of its own."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        *,
        events: Path | None = None,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "consumer.shard"),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        settings_file = folder / "settings.json"
        settings_file.write_bytes(settings.dump())
        self._stderr = folder / "stderr.txt"
        with self._stderr.open("wb") as stderr:
            self.child = subprocess.Popen(
                [sys.executable, *program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=PROJECT,
                env={**child_environment(settings_file, events), **(environment or {})},
            )
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        super().__init__(self.child.stdin, self.child.stdout)

    @property
    def stderr(self) -> str:
        return self._stderr.read_text(errors="replace")

    def terminate(self) -> None:
        self.child.send_signal(signal.SIGTERM)

    def interrupt(self) -> None:
        self.child.send_signal(signal.SIGINT)

    def wait(self) -> int:
        code = self.child.wait(SAFETY_SECONDS)
        self._listener.join(SAFETY_SECONDS)
        return code

    def finish(self) -> int:
        self.close_input()
        return self.wait()

    def kill(self) -> None:
        """Leave nothing behind, whatever state the test left it in."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(SAFETY_SECONDS)
        self.close()


def _decoded(line: bytes) -> Message:
    try:
        message: Message = json.loads(line)
    except ValueError:
        return {"action": "not a MultiLang message", "line": line}
    return message
