"""Messages of the KCL: the same records with and without the C library, and however the line comes in pieces."""

import base64
import contextlib
import io
from random import Random
from typing import Any
from unittest.mock import patch

from consumer.domain.records import Record
from consumer.native import library
from consumer.shard.kcl import message_parser
from consumer.shard.kcl.line_reader import LineReader
from consumer.shard.kcl.message_parser import EARLY_BYTES, MessageParser
from consumer.shard.kcl.protocol import MessageIO
from tests.fuzz.inputs import Input, Maker


def make(maker: Maker) -> Input:
    random = maker.random
    members = ['"action":"processRecords"', f'"millisBehindLatest":{random.choice(("null", "0", "123"))}']
    records = [_record(maker) for _ in range(random.randrange(6))]
    members.insert(random.randrange(3), f'"records":[{",".join(records)}]')
    line = ("{" + ",".join(members) + "}").encode("utf-8", "surrogatepass")
    return Input(maker.choices(), maker.mutated(line) if random.randrange(2) else line)


def _record(maker: Maker) -> str:
    random = maker.random
    arrival = random.choice((1700000000000, 1700000000000, 0, 10**17, 10**18, "00", "1e3", -1))
    members = [
        '"action":"record"',
        f'"data":"{base64.b64encode(maker.payload()).decode()}"',
        f'"partitionKey":"{random.choice(("k", "é", "", r"\\u00e9", r"\\ud800", "\\x7f", "k" * 256))}"',
        f'"sequenceNumber":"{random.randrange(10 ** random.randint(1, 56))}"',
        f'"subSequenceNumber":{random.choice((0, 1, 10**17, 2**63, 2**64, 10**20, "01", "1.0", "null"))}',
        f'"approximateArrivalTimestamp":{arrival}',
    ]
    if not random.randrange(8):
        members.append(f'"x":{random.choice(("1", "[]", r"{\"a\":null}", "nul"))}')
    if not random.randrange(4):
        random.shuffle(members)
    return "{" + ",".join(members) + "}"


def check(one: Input) -> None:
    line = one.content.replace(b"\n", b" ") + b"\n"
    with_it = _outcome(line)
    with patch.object(library, "load", lambda: None):
        assert _outcome(line) == with_it, "another message without the C library"
    with patch.object(message_parser, "_SMALL_BYTES", 0):
        assert _outcome(line, one.random()) == with_it, "another message in pieces"
        assert _outcome(line, one.random(), early_bytes=1) == with_it, (
            "another message when it is taken early"
        )


def _outcome(line: bytes, pieces: Random | None = None, *, early_bytes: int = EARLY_BYTES) -> Any:
    """What the message says, or which error it is."""
    reader: LineReader = object()  # type: ignore[assignment]
    early: list[Record] = []
    messages = MessageIO(reader, lambda data: None, io.StringIO(), early.extend, early_bytes=early_bytes)
    try:
        done = 0 if pieces is None else _looked_at(messages._parser, line, pieces)
        message = messages.load_action(memoryview(bytearray(line[done:])))
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same
        return type(error).__name__
    with contextlib.suppress(AttributeError):
        return [*early, *message.records], message.millis_behind_latest
    return type(message).__name__


def _looked_at(parser: MessageParser, line: bytes, random: Random) -> int:
    """How much of the line is done with once the parser was shown what there was of it, a few times."""
    done = 0
    for end in sorted(random.sample(range(len(line)), min(4, len(line)))):
        if end > done:
            done += parser.look_ahead(memoryview(bytearray(line[done:end] + b"\n")))
    return done
