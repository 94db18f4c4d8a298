"""Lines over real pipes."""

import itertools
import mmap
import os
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.shard.kcl import line_reader
from consumer.shard.kcl.line_reader import LineReader
from consumer.shard.kcl.protocol import write_all
from tests.unit.shard.pipes import Pipe, write_without_blocking
from tests.unit.shard.touched import touched_bytes


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
    cuts=st.lists(st.integers(0, 240), max_size=8),
    most_done=st.lists(st.integers(0, 40), min_size=1, max_size=8),
)
def test_pieces_of_a_line_are_shown_before_it_is_whole(
    lines: list[bytes], cuts: list[int], most_done: list[int]
) -> None:
    """Each holds what was not done with of the one before."""
    stream = b"".join(line + b"\n" for line in lines)
    most = itertools.cycle(most_done)
    done, left = b"", b""

    def look(piece: memoryview) -> int:
        nonlocal done, left
        shown = bytes(piece[:-1])
        assert bytes(piece[-1:]) == b"\n"
        assert shown.startswith(left)
        count = min(next(most), len(shown))
        done += shown[:count]
        left = shown[count:]
        return count

    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_in_pieces, pipe.writing, stream, [min(cut, len(stream)) for cut in cuts])
        for line in lines:
            done, left = b"", b""
            rest = bytes(reader.read_line(look))
            assert rest.startswith(left)
            assert done + rest == line + b"\n"
        writer.get()


def test_every_piece_of_a_long_line_is_shown() -> None:
    line = b"x" * 3_000_000 + b"\n"
    sizes: list[int] = []

    def look(piece: memoryview) -> int:
        sizes.append(len(piece))
        return 0

    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_without_blocking, pipe.writing, line)
        assert bytes(reader.read_line(look)) == line
        assert sizes[-1] > 2_000_000
        writer.get()


def test_a_line_of_15_megabytes() -> None:
    line = b"x" * 15_000_000 + b"\n"
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_without_blocking, pipe.writing, line + b"next\n")
        assert bytes(reader.read_line()) == line
        assert bytes(reader.read_line()) == b"next\n"
        writer.get()


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


def test_nothing_is_waited_for_while_what_has_come_is_looked_at() -> None:
    with Pipe() as pipe:
        reader = LineReader(pipe.reading, now=Ticks())
        os.write(pipe.writing, b"half a ")
        seen: list[float | None] = []

        def look_ahead(so_far: memoryview) -> int:
            seen.append(reader.waiting_since)
            os.write(pipe.writing, b"line\n")
            return 0

        assert bytes(reader.read_line(look_ahead)) == b"half a line\n"
        assert seen == [None]


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


def test_memory_of_long_lines_is_given_back_when_a_short_one_follows() -> None:
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        for _ in range(2):
            write_all(pipe.writing, b"x" * 900_000 + b"\n")
            reader.read_line()
            os.write(pipe.writing, b"{}\n")
            held = reader.read_line()
            assert bytes(held) == b"{}\n"
            long = touched_bytes(reader._buffer)
            gevent.spawn(os.write, pipe.writing, b"{}\n")
            assert bytes(reader.read_line()) == b"{}\n"
            assert long - touched_bytes(reader._buffer) > 500_000


def test_memory_of_long_lines_is_kept_while_they_follow_one_another() -> None:
    """However little of one is left in the end."""
    touched: list[int] = []

    def look(piece: memoryview) -> int:
        touched.append(touched_bytes(reader._buffer))
        return len(piece) - 1

    def write() -> None:
        for piece in (b"x" * 100, b"x" * 1024 * 1024, b"\n"):
            write_without_blocking(pipe.writing, piece)
            gevent.idle()

    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        for _ in range(2):
            touched.clear()
            writer = gevent.spawn(write)
            assert bytes(reader.read_line(look)) == b"\n"
            writer.get()
    assert touched[0] == touched[-1] > 1_000_000


def test_a_buffer_that_had_to_grow_is_as_small_as_before_when_a_short_line_follows() -> None:
    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_without_blocking, pipe.writing, b"x" * 40_000_000 + b"\n")
        assert len(reader.read_line()) == 40_000_001
        writer.get()
        for _ in range(2):
            os.write(pipe.writing, b"{}\n")
            held = reader.read_line()
        gevent.spawn(os.write, pipe.writing, b"[]\n")
        assert bytes(reader.read_line()) == b"[]\n"
        assert len(reader._buffer) == line_reader._BUFFER_BYTES
        assert touched_bytes(reader._buffer) < 100_000
        assert len(held) == 3


# Long lines whose pieces are done with while they come


class Counted(mmap.mmap):
    """Counts the bytes that are moved and searched."""

    moved = searched = 0

    def move(self, dest: int, src: int, count: int) -> None:
        type(self).moved += count
        super().move(dest, src, count)

    def find(self, sub: Any, start: Any = None, end: Any = None) -> int:
        type(self).searched += end - start
        return super().find(sub, start, end)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            type(self).moved += len(value)
        super().__setitem__(key, value)


@pytest.mark.parametrize(
    ("record_bytes", "kept_bytes"),
    [
        (700, 0),
        (300_000, 0),
        (7_000_000, 0),
        (20_000_000, 0),
        (60_000_000, 0),
        (700, 2_500_000),
        (700, 9_000_000),
    ],
)
def test_no_more_of_a_long_line_stays_than_is_needed(
    record_bytes: int, kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither are its bytes moved or searched more than a few times."""
    monkeypatch.setattr(Counted, "moved", 0)
    monkeypatch.setattr(Counted, "searched", 0)
    monkeypatch.setattr(mmap, "mmap", Counted)
    line_bytes = 60_000_000
    done, touched = 0, []

    def look(piece: memoryview) -> int:
        nonlocal done
        count = max(0, len(piece) - 1 - kept_bytes) // record_bytes * record_bytes
        done += count
        touched.append(touched_bytes(reader._buffer))
        return count

    with Pipe() as pipe:
        reader = LineReader(pipe.reading)
        writer = gevent.spawn(write_without_blocking, pipe.writing, b"x" * line_bytes + b"\n")
        rest = len(reader.read_line(look))
        writer.get()
    assert done + rest == line_bytes + 1
    needed = record_bytes + kept_bytes
    assert max(touched) < 4_000_000 + 2 * needed or kept_bytes
    assert len(reader._buffer) <= max(line_reader._BUFFER_BYTES, 4 * needed)
    assert Counted.moved < 2 * line_bytes
    assert Counted.searched < line_bytes + 100_000
