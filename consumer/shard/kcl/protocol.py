"""MultiLang messages on file descriptors, fast: amazon_kclpy's process class with its I/O replaced.

amazon_kclpy decodes every record through json, an object hook and base64, and answers OK when a processor raises,
so that a later checkpoint passes lost records. Here a message is decoded once, as it comes, and an exception ends the
process before it can answer.
"""

import json
import os
from collections.abc import Callable
from typing import Any, Protocol

from amazon_kclpy import dispatch, kcl, messages

from consumer.domain.columns import Records
from consumer.domain.errors import ProtocolError
from consumer.shard.kcl.line_reader import LineReader
from consumer.shard.kcl.message_parser import EARLY_BYTES, MessageParser
from consumer.shard.kcl.message_text import RECORDS_ACTION, malformed


def write_all(descriptor: int, data: bytes) -> None:
    """Messages to the KCL are far smaller than a pipe, so this does not block in practice."""
    while data:
        data = data[os.write(descriptor, data) :]


class Callbacks(Protocol):
    """amazon_kclpy's v3 record processor, and `take_early`: records of a message that is still coming, too long to be
    held whole, and valid until it returns. `process_records` gets those that are left. No checkpoint can be made in
    between: its answer comes behind the message."""

    def initialize(self, initialize_input: Any) -> None: ...
    def take_early(self, records: Records) -> None: ...
    def process_records(self, process_records_input: Any) -> None: ...
    def lease_lost(self, lease_lost_input: Any) -> None: ...
    def shard_ended(self, shard_ended_input: Any) -> None: ...
    def shutdown_requested(self, shutdown_requested_input: Any) -> None: ...


class RecordsMessage:
    """`processRecords`; stands in for amazon_kclpy.messages.ProcessRecordsInput."""

    __slots__ = ("checkpointer", "millis_behind_latest", "records")

    action = RECORDS_ACTION

    def __init__(self, records: Records, millis_behind_latest: int | None) -> None:
        """`records` are valid until the next message."""
        self.records = records
        self.millis_behind_latest = millis_behind_latest
        self.checkpointer: Any = None

    def dispatch(self, checkpointer: Any, record_processor: Callbacks) -> None:
        self.checkpointer = checkpointer
        record_processor.process_records(self)


class InputClosed(SystemExit):
    """The KCL went away in the middle of a message or of a callback: end quietly, another worker reads on."""

    def __init__(self) -> None:
        super().__init__(0)


class MessageIO(kcl._IOHandler):  # type: ignore[misc]
    """What KCLProcess and its Checkpointer read and write through."""

    def __init__(
        self,
        reader: LineReader,
        write: Callable[[bytes], None],
        error_file: Any,
        take_early: Callable[[Records], None],
        *,
        early_bytes: int = EARLY_BYTES,
    ) -> None:
        """See MessageParser."""
        super().__init__(None, None, error_file)
        self._reader = reader
        self._write = write
        self._parser = MessageParser(take_early, early_bytes=early_bytes)

    def read_line(self) -> memoryview:
        return self._reader.read_line(self._parser.look_ahead)

    def write_line(self, line: str) -> None:
        try:
            self._write(f"\n{line}\n".encode())
        except BrokenPipeError:
            raise InputClosed from None

    def load_action(self, line: memoryview) -> Any:
        if not line:
            raise InputClosed
        try:
            parsed = self._parser.parse(line)
            return RecordsMessage(*parsed) if parsed is not None else _other_message(line)
        except ProtocolError:
            if bytes(line[-1:]) != b"\n":
                raise InputClosed from None
            raise


_OTHER_MESSAGES = (
    messages.InitializeInput,
    messages.LeaseLostInput,
    messages.ShardEndedInput,
    messages.ShutdownRequestedInput,
    messages.CheckpointInput,
)


def _other_message(line: memoryview) -> Any:
    try:
        message = dispatch.message_decode(json.loads(bytes(line)))
    except (dispatch.MalformedAction, ValueError, KeyError, TypeError, RecursionError) as error:
        raise malformed(f"{type(error).__name__}: {str(error)[:200]}", line) from None
    if not isinstance(message, _OTHER_MESSAGES):
        raise malformed("not an action of this protocol's third version", line)
    return message


class ShardProcess(kcl.KCLProcess):  # type: ignore[misc]
    """amazon_kclpy's main loop over `MessageIO`, in which an exception of a callback ends the process."""

    def __init__(
        self, processor: Callbacks, *, reader: LineReader, write: Callable[[bytes], None], error_file: Any
    ) -> None:
        super().__init__(processor, None, None, error_file)
        self.io_handler = MessageIO(reader, write, error_file, processor.take_early)
        self.checkpointer = kcl.Checkpointer(self.io_handler)

    def _perform_action(self, action: Any) -> None:
        if isinstance(action, messages.CheckpointInput):
            raise ProtocolError("an answer to a checkpoint that was not asked for")
        # without a status line the KCL redelivers from the last checkpoint to a new process
        action.dispatch(self.checkpointer, self.processor)
