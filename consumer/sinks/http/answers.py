"""Reads the answer to an HTTP/1.1 request, of a server that may send anything: parsed by llhttp, bounded here."""

from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import httptools

_READ_BYTES = 16 * 1024

HEAD_BYTES = 64 * 1024
"""For everything that comes before the body, answers that announce another included: Google's heads take 1 KiB, and
servers that speak HTTP/1.1 themselves take no more than this. No header is kept, so their number does not matter."""

ANSWER_BYTES = 32 * 1024 * 1024
"""For a whole answer. The longest honest one names each of 50,000 rows of an insertAll, the most that a request may
hold, in some 250 bytes of JSON: 12 MiB."""


class Source(Protocol):
    """A connection, as far as an answer is read from it."""

    def recv(self, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """`location` is where the answer says to go on, if it does."""

    status: int
    body: bytes
    location: str | None = None


class AnswerReader:
    """Reads one answer. The methods that begin with `on_` are called by the parser."""

    def __init__(self) -> None:
        self.keeps_alive = False
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._location: str | None = None
        self._body: bytes | bytearray = b""
        self._says_where_it_ends = False
        self._is_whole = False

    def read(self, connection: Source, until: float) -> Answer:
        """Up to a moment of the monotonic clock, and for as long as one wait for more of it after that. Raises OSError
        or httptools.HttpParserError."""
        received = 0
        try:
            while not self._is_whole:
                some = connection.recv(_READ_BYTES)
                if some:
                    self._parser.feed_data(some)
                elif self._status >= 200 and not self._says_where_it_ends:
                    break  # it ends with the connection
                else:
                    raise ConnectionError("the connection ended before the answer did")
                if not self._is_whole:
                    received += len(some)
                    self._check(received, until)
        except httptools.HttpParserError:
            self.keeps_alive = False
            if not self._is_whole:  # else it is about what came behind the answer
                raise
        finally:
            del self._parser  # each of the two holds the other
        return Answer(self._status, bytes(self._body), self._location)

    def _check(self, received: int, until: float) -> None:
        """After each piece of an answer that comes in several."""
        if self._status < 200 and received > HEAD_BYTES:
            raise ConnectionError(f"the head of the answer is longer than {HEAD_BYTES >> 10} KiB")
        if received > ANSWER_BYTES:
            raise ConnectionError(f"the answer is longer than {ANSWER_BYTES >> 20} MiB")
        check_time(until)

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise ConnectionError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"location":
            self._location = value.decode("latin-1")
        elif name in (b"content-length", b"transfer-encoding"):
            self._says_where_it_ends = True

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, some: bytes) -> None:
        if not self._body:
            self._body = some  # as a rule there is no more
        elif isinstance(self._body, bytearray):
            self._body += some
        else:
            self._body = bytearray(self._body) + some

    def on_message_complete(self) -> None:
        if self._status >= 200:  # others announce that the answer is to follow
            self._is_whole = True
            self.keeps_alive = self._parser.should_keep_alive()


def check_time(until: float) -> None:
    """Raises TimeoutError past a moment of the monotonic clock."""
    if monotonic() > until:
        raise TimeoutError("the request has taken longer than it may as a whole")
