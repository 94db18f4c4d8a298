import pytest

from consumer.daemon.supervise.session import Lines, describe_exit


@pytest.mark.parametrize("pieces", [[b"a\nb\n"], [b"a", b"\nb", b"\n"], [b"a\r\n", b"\n", b"  \n", b"b\n"]])
def test_bytes_are_cut_into_lines_and_blank_ones_dropped(pieces: list[bytes]) -> None:
    lines: list[str] = []
    cutter = Lines(lines.append)
    for piece in pieces:
        cutter.feed(piece)
    assert lines == ["a", "b"]


def test_a_line_that_does_not_end_is_given_in_pieces_and_at_the_end() -> None:
    lines: list[str] = []
    cutter = Lines(lines.append)
    cutter.feed(b"x" * 20_000)
    assert lines == ["x" * 20_000]
    cutter.feed(b"rest\xff")
    cutter.end()
    assert lines[1:] == ["rest\ufffd"]


def test_an_exit_is_described_by_code_or_signal() -> None:
    assert describe_exit(143) == "exit code 143 (SIGTERM)"
    assert describe_exit(129 + 128) == "exit code 257"
    assert describe_exit(-9) == "SIGKILL"
