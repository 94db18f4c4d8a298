"""Lines over real pipes."""

import ctypes
import itertools
import mmap
import os
from array import array
from pathlib import Path

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.shard import line_reader
from consumer.shard.line_reader import LineReader
from consumer.shard.protocol import write_all
from tests.unit.shard.pipes import Pipe


def write_in_pieces(descriptor: int, data: bytes, cuts: list[int]) -> None:
    """Each piece is read before the next one is written: whoever waits runs in between."""
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        write_all(descriptor, data[start:end])
        gevent.idle()


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=6),
    data=st.data(),
)
def test_lines_arrive_whole_wherever_the_pipe_cuts_them(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_in_pieces, pipe.writing, stream, cuts)
        assert [bytes(reader.read_line()) for _ in lines] == [line + b"\n" for line in lines]
        writer.get()
        pipe.close(pipe.writing)
        assert bytes(reader.read_line()) == b""


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=6),
    data=st.data(),
)
def test_pieces_of_a_line_are_shown_before_it_is_whole(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_in_pieces, pipe.writing, stream, cuts)
        for line in lines:
            pieces: list[bytes] = []

            def keep(piece: memoryview, pieces: list[bytes] = pieces) -> None:
                pieces.append(bytes(piece))

            assert bytes(reader.read_line(keep)) == line + b"\n"
            assert all(piece[-1:] == b"\n" and line.startswith(piece[:-1]) for piece in pieces)
            assert sorted(pieces, key=len) == pieces
        writer.get()


def test_every_piece_of_a_long_line_is_shown() -> None:
    line = b"x" * 3_000_000 + b"\n"
    with Pipe() as pipe:
        os.set_blocking(pipe.writing, False)
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(_write_without_blocking, pipe.writing, line)
        sizes: list[int] = []
        assert bytes(reader.read_line(lambda piece: sizes.append(len(piece)))) == line
        assert sizes[-1] > 2_000_000
        writer.get()


def test_a_line_of_15_megabytes() -> None:
    line = b"x" * 15_000_000 + b"\n"
    with Pipe() as pipe:
        os.set_blocking(pipe.writing, False)
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(_write_without_blocking, pipe.writing, line + b"next\n")
        assert bytes(reader.read_line()) == line
        assert bytes(reader.read_line()) == b"next\n"
        writer.get()


def _write_without_blocking(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            gevent.sleep(0)


def test_the_end_of_input_in_the_middle_of_a_line_gives_what_there_is() -> None:
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        os.write(pipe.writing, b"whole\nhalf")
        pipe.close(pipe.writing)
        assert [bytes(reader.read_line()) for _ in range(3)] == [b"whole\n", b"half", b""]


class Ticks:
    """A clock that moves by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_it_is_known_since_when_a_line_is_waited_for() -> None:
    with Pipe() as pipe:
        reader = LineReader(pipe.reading, now=Ticks())
        assert reader.waiting_since is None
        seen: list[float | None] = []

        def look_and_write() -> None:
            seen.append(reader.waiting_since)
            os.write(pipe.writing, b"line\n")

        gevent.spawn(look_and_write)
        reader.read_line()
        assert seen == [101.0]
        assert reader.waiting_since is None


def test_lines_longer_than_the_buffer_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_reader, "_BUFFER_BYTES", 4096)
    lines = [
        bytes([ord("a") + number]) * size + b"\n" for number, size in enumerate((3, 9000, 5, 40_000, 4095))
    ]
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        write_all(pipe.writing, b"".join(lines))
        assert [bytes(reader.read_line()) for _ in lines] == lines


def test_a_line_stays_valid_until_the_next_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_reader, "_BUFFER_BYTES", 4096)
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        os.write(pipe.writing, b"first\nsec")
        line = reader.read_line()
        os.write(pipe.writing, b"ond\n")
        assert bytes(line) == b"first\n"
        assert bytes(reader.read_line()) == b"second\n"


def resident_bytes(reader: LineReader) -> int:
    """Of the buffer alone: the kernel shows neighbours among the mappings as one."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(reader._buffer))
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pages:
        pages.seek(address // mmap.PAGESIZE * 8)
        entries = array("Q", pages.read(len(reader._buffer) // mmap.PAGESIZE * 8))
    return sum(entry >> 63 for entry in entries) * mmap.PAGESIZE


def test_memory_of_long_lines_is_given_back_when_a_short_one_follows() -> None:
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        for _ in range(2):
            write_all(pipe.writing, b"x" * 900_000 + b"\n")
            reader.read_line()
            os.write(pipe.writing, b"{}\n")
            held = reader.read_line()
            assert bytes(held) == b"{}\n"
            long = resident_bytes(reader)
            gevent.spawn(os.write, pipe.writing, b"{}\n")
            assert bytes(reader.read_line()) == b"{}\n"
            assert long - resident_bytes(reader) > 500_000
