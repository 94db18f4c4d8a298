"""How requests and answers are written: CBOR as in production, or JSON (`-Daws.cborEnabled=false`).

A list of records is encoded once, with marks of fixed length where sequence numbers and arrival times stand, and each
answer replaces them.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import cbor2
import msgspec

from tests.bench.inputs import payload

_SEQUENCE_MARK = "49" + "0" * 48
_ARRIVAL_MARK_MS = 1_700_000_000_000
_EPOCH_TAG = 1
_EMPTY_LIST = cbor2.dumps([])


class Wire(ABC):
    """One of Kinesis' two formats. `decode` raises ValueError."""

    content_type: ClassVar[str]

    @abstractmethod
    def decode(self, body: bytes) -> dict[str, Any]: ...

    @abstractmethod
    def encode(self, value: object) -> bytes: ...

    @abstractmethod
    def moment(self, milliseconds: int) -> object:
        """Milliseconds since the epoch, as `encode` takes them."""

    @abstractmethod
    def blob(self, data: bytes) -> object:
        """A record's payload, as `encode` takes it."""

    @abstractmethod
    def page(self, answer: Mapping[str, object], records: bytes) -> bytes:
        """An answer with an encoded list of records as its member `Records`."""

    def template(self, records: int, record_bytes: int) -> bytes:
        """The list of so many records, with marks."""
        return self.encode(
            [
                {
                    "SequenceNumber": f"{_SEQUENCE_MARK}{index:06}",
                    "ApproximateArrivalTimestamp": self.moment(_ARRIVAL_MARK_MS),
                    "Data": self.blob(payload(index, record_bytes)),
                    "PartitionKey": f"{index:032x}",
                }
                for index in range(records)
            ]
        )

    def placed(self, template: bytes, *, position: int, arrival_ms: int) -> bytes:
        """The list as the answer of a position: sequence numbers ascend with it."""
        mark, arrival = (self.encode(self.moment(each)) for each in (_ARRIVAL_MARK_MS, arrival_ms))
        return template.replace(_SEQUENCE_MARK.encode(), _prefix(position).encode()).replace(mark, arrival)


def position_of(sequence: str) -> int:
    """Of the answer that holds a sequence number."""
    return int(sequence[2:50])


class Cbor(Wire):
    content_type: ClassVar[str] = "application/x-amz-cbor-1.1"

    def decode(self, body: bytes) -> dict[str, Any]:
        try:
            request: dict[str, Any] = cbor2.loads(body, semantic_decoders={_EPOCH_TAG: lambda ms, _: ms})
        except cbor2.CBORError as error:
            raise ValueError(str(error)) from error
        return request

    def encode(self, value: object) -> bytes:
        return cbor2.dumps(value)

    def moment(self, milliseconds: int) -> object:
        """The AWS SDK for Java has milliseconds where the tag stands for seconds. Ten bytes, but for early 1970."""
        return cbor2.CBORTag(_EPOCH_TAG, milliseconds)

    def blob(self, data: bytes) -> object:
        return data

    def page(self, answer: Mapping[str, object], records: bytes) -> bytes:
        return cbor2.dumps({**answer, "Records": []}).removesuffix(_EMPTY_LIST) + records


class Json(Wire):
    content_type: ClassVar[str] = "application/x-amz-json-1.1"

    def decode(self, body: bytes) -> dict[str, Any]:
        request: dict[str, Any] = msgspec.json.decode(body)
        return request

    def encode(self, value: object) -> bytes:
        return msgspec.json.encode(value)

    def moment(self, milliseconds: int) -> object:
        """Seconds, always with three decimals."""
        return msgspec.Raw(f"{milliseconds // 1000}.{milliseconds % 1000:03}".encode())

    def blob(self, data: bytes) -> object:
        return base64.b64encode(data).decode()

    def page(self, answer: Mapping[str, object], records: bytes) -> bytes:
        return msgspec.json.encode({**answer, "Records": msgspec.Raw(records)})


BY_NAME: Mapping[str, Wire] = {"cbor": Cbor(), "json": Json()}
BY_CONTENT_TYPE: Mapping[str, Wire] = {wire.content_type: wire for wire in BY_NAME.values()}


def _prefix(position: int) -> str:
    """Of the sequence numbers of an answer; six digits for the record follow."""
    return f"49{position:048}"
