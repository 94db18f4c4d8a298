import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumer.shard.process import fork_server, forked, launcher
from consumer.shard.process.fork_server import ForkServer, shell_status
from consumer.shard.process.forked import _agreed
from consumer.shard.process.handover import (
    GO,
    READY,
    HandoverError,
    Request,
    is_of_this_user,
    receive_request,
    send_request,
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with ExitStack() as stack:
        launcher_end, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        yield stack.enter_context(launcher_end), stack.enter_context(server_end)


@pytest.fixture
def request_of_four_descriptors() -> Iterator[Request]:
    read_end, write_end = os.pipe()
    environment = {b"PLAIN": b"text", b"EMPTY": b"", b"BYTES": b"a=b\n\xff"}
    yield Request(b"/some folder", 0o027, environment, (read_end, write_end, 2, 0))
    os.close(read_end)
    os.close(write_end)


def test_a_request_arrives_with_folder_umask_environment_and_descriptors(
    ends: tuple[socket.socket, socket.socket], request_of_four_descriptors: Request
) -> None:
    sent = request_of_four_descriptors
    send_request(ends[0], sent)
    received = receive_request(ends[1])
    try:
        assert (received.folder, received.umask, received.environment) == (
            sent.folder,
            sent.umask,
            sent.environment,
        )
        os.write(received.descriptors[1], b"through the pipe")
        assert os.read(sent.descriptors[0], 100) == b"through the pipe"
    finally:
        for descriptor in received.descriptors:
            os.close(descriptor)


@pytest.mark.parametrize("said", [b"", b"\0\0", b"\0\0\0\7no descriptors"])
def test_what_is_no_request_is_refused(ends: tuple[socket.socket, socket.socket], said: bytes) -> None:
    ends[0].sendall(said)
    ends[0].shutdown(socket.SHUT_WR)
    with pytest.raises(HandoverError):
        receive_request(ends[1])


def test_the_other_end_of_a_pair_is_of_this_user(ends: tuple[socket.socket, socket.socket]) -> None:
    assert is_of_this_user(ends[0])


def test_the_other_end_is_told_from_another_user(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert not is_of_this_user(ends[0])


def test_a_launcher_that_has_given_up_leaves_the_forked_process_without_a_request(
    ends: tuple[socket.socket, socket.socket], request_of_four_descriptors: Request
) -> None:
    send_request(ends[0], request_of_four_descriptors)
    ends[0].shutdown(socket.SHUT_WR)
    assert _agreed(ends[1]) is None
    assert ends[0].recv(10) == READY


def test_a_launcher_that_says_go_has_a_shard_process(
    ends: tuple[socket.socket, socket.socket], request_of_four_descriptors: Request
) -> None:
    send_request(ends[0], request_of_four_descriptors)
    ends[0].sendall(GO)
    agreed = _agreed(ends[1])
    assert agreed is not None
    for descriptor in agreed.descriptors:
        os.close(descriptor)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        bound.bind(str(tmp_path / "socket"))
        bound.listen()
        yield bound


def test_a_launcher_does_without_a_server_that_is_silent(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "PATIENCE_SECONDS", 0.05)
    assert launcher.hand_over(listener.getsockname()) is None


def test_a_launcher_does_without_a_server_that_is_not_there_or_of_another_user_or_without_a_shell(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launcher.hand_over(str(tmp_path / "none")) is None
    monkeypatch.setattr(launcher, "is_of_this_user", lambda connection: False)
    assert launcher.hand_over(listener.getsockname()) is None
    monkeypatch.setattr(launcher, "_SHELL", "/no/such/shell")
    assert launcher.hand_over(listener.getsockname()) is None


@pytest.mark.parametrize("fails", ["fork", "user"])
def test_a_server_that_does_not_fork_ends_the_connection(
    listener: socket.socket, fails: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(fork_server, "fork", fork)
    if fails == "user":
        monkeypatch.setattr(fork_server, "is_of_this_user", lambda connection: False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(listener.getsockname())
        ForkServer(listener, forked.become_shard_process).serve_once()
        assert connection.recv(10) == b""
    said = capsys.readouterr().out
    assert said == (
        "" if fails == "user" else "cannot fork a shard process: Resource temporarily unavailable\n"
    )


@pytest.mark.parametrize(("status", "told"), [(0, 0), (70 << 8, 70), (9, 137), (15, 143)])
def test_an_end_is_told_as_a_shell_tells_it(status: int, told: int) -> None:
    assert shell_status(status) == told
