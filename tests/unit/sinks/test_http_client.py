"""The HTTP client against a server on the loopback interface, with and without TLS."""

import datetime
import errno
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from consumer.domain.errors import SetupError, TransientError
from consumer.sinks.http import connection as http_connection
from consumer.sinks.http.client import HttpClient
from consumer.sinks.http.connection import Answer
from tests.unit.sinks.bigquery import loopback
from tests.unit.sinks.bigquery.forward_proxy import ForwardProxy, forward_proxy
from tests.unit.sinks.bigquery.loopback import Loopback, loopback_server, status

MANY = bytes(range(256)) * 40_000
"""Ten megabytes: more than the kernel takes at once."""


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback_server() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, its own authority, valid for the longest time there is."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(encoding))
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[Loopback]:
    with loopback_server(certificate) as running:
        yield running


def client(*, connections: int = 2, read_seconds: float = 10) -> HttpClient:
    return HttpClient(connections=connections, connect_timeout_seconds=5, read_timeout_seconds=read_seconds)


def post(http: HttpClient, url: str, body: bytes | bytearray = b"body") -> Answer:
    return http.request("POST", url, {"Content-Type": "text/plain"}, body)


def raw(*parts: bytes, then_close: bool = False) -> loopback.Answer:
    """An answer as it is written, in so many packets."""

    def answer(handler: Any) -> None:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
        if then_close:
            loopback.hang_up(handler)

    return answer


@pytest.mark.parametrize("body", [b"", b"some", bytearray(b"some"), MANY], ids=len)
def test_a_request_arrives_as_it_is(server: Loopback, body: bytes) -> None:
    assert post(client(), f"{server.url}/path?query=1", body) == Answer(200, b"{}")
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/path?query=1", body)
    assert seen.headers == {
        "host": server.url.removeprefix("http://"),
        "user-agent": "kinesis-consumer",
        "accept-encoding": "identity",
        "content-type": "text/plain",
        "content-length": str(len(body)),
    }


def test_a_request_without_a_body_does_not_speak_of_one(server: Loopback) -> None:
    client().request("GET", server.url, {}, b"")
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("GET", "/")
    assert "content-length" not in seen.headers


@pytest.mark.parametrize(
    "answer",
    [
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678"),
        raw(b"HTTP/1.1 200 OK\r\nContent-", b"Length: 8\r\n\r", b"\n123", b"45678"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n\r\n1234", b"5678", then_close=True),
        raw(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n12345678", then_close=True),
        raw(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678"),
    ],
    ids=["sized", "in pieces", "chunked", "until the end", "HTTP/1.0", "announced"],
)
def test_every_way_to_end_a_body_is_understood(server: Loopback, answer: loopback.Answer) -> None:
    server.answers = [answer]
    http = client()
    assert post(http, server.url) == Answer(200, b"12345678")
    assert post(http, server.url) == Answer(200, b"{}")


def test_an_answer_without_a_body(server: Loopback) -> None:
    server.answers = [raw(b"HTTP/1.1 204 No Content\r\nLocation: /there\r\n\r\n")]
    assert post(client(), server.url) == Answer(204, b"", "/there")


@pytest.mark.parametrize(
    "answer",
    [
        loopback.hang_up,
        loopback.hang_up_in_the_body,
        loopback.speak_something_else,
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n12", then_close=True),
        raw(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=True),
        raw(b"HTTP/1.1 100 Continue\r\n\r\n", then_close=True),
        raw(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n"),
        raw(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 8, 9\r\n\r\n12345678", then_close=True),
        raw(b"HTTP/1.1 200 OK\r\n", then_close=True),
    ],
)
def test_half_an_answer_is_none(server: Loopback, answer: loopback.Answer) -> None:
    server.answers = [answer]
    http = client()
    with pytest.raises(TransientError, match=f"^{server.url}/path: ."):
        post(http, f"{server.url}/path")
    assert post(http, server.url).status == 200


def test_an_answer_that_does_not_wait_for_the_whole_request_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answers = [b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", b""]

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        http = client()
        assert post(http, url, MANY) == Answer(413, b"no")
        with pytest.raises(TransientError):
            post(http, url, MANY)
        server.join()


def test_what_comes_behind_an_answer_is_not_taken_for_the_next(server: Loopback) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    server.answers = [raw(whole + b"1" + whole + b"2"), raw(whole + b"3"), raw(whole + b"4")]
    http = client()
    assert [post(http, server.url).body for _ in range(3)] == [b"1", b"3", b"4"]
    first, second, third = (seen.connection for seen in server.seen)
    assert first != second == third


def test_a_connection_that_was_closed_while_it_waited_is_not_used(server: Loopback) -> None:
    closed = threading.Event()

    def last(handler: Any) -> None:
        status(200)(handler)
        loopback.hang_up(handler)
        closed.set()

    server.answers = [last]
    http = client()
    post(http, server.url)
    assert closed.wait(10)
    assert post(http, server.url).status == 200


def test_an_answer_that_says_so_ends_its_connection(server: Loopback) -> None:
    server.answers = [status(200, Connection="close")]
    http = client()
    assert [post(http, server.url).status for _ in range(2)] == [200, 200]
    assert len({seen.connection for seen in server.seen}) == 2


def test_each_server_has_its_own_connections(server: Loopback) -> None:
    with loopback_server() as other:
        http = client()
        for url in (server.url, other.url, server.url, other.url):
            assert post(http, url).status == 200
        assert [len({seen.connection for seen in each.seen}) for each in (server, other)] == [1, 1]
        assert [len(each.seen) for each in (server, other)] == [2, 2]


def test_no_more_connections_are_kept_than_wanted(server: Loopback) -> None:
    together = threading.Barrier(4, timeout=10)

    def answer(handler: Any) -> None:
        together.wait()
        status(200)(handler)

    server.answers = [answer] * 4
    http = client(connections=2)
    _together([lambda: post(http, server.url)] * 4)
    assert len({seen.connection for seen in server.seen}) == 4
    server.answers = [answer] * 4
    together.reset()
    _together([lambda: post(http, server.url)] * 4)
    assert len({seen.connection for seen in server.seen}) == 4 + 2


def _together(calls: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("timed out"),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
        OSError(errno.EMFILE, "Too many open files"),
        ConnectionRefusedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_troubles_with_connecting_are_waited_out(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(TransientError, match=r"^http://server\.example: .") as caught:
        post(client(), "http://server.example")
    assert caught.value.__cause__ is error


TOO_LONG = "the head of the answer is longer than 64 KiB|got more than 65536 bytes"


def begin(*parts: bytes) -> loopback.Answer:
    """An answer that has begun, and does not end."""

    def answer(handler: Any) -> None:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
        loopback.silence(handler)

    return answer


@dataclass
class Clock:
    """Stands still until it is set."""

    seconds: float = 0

    def __call__(self) -> float:
        return self.seconds

    def then(self, answer: loopback.Answer) -> loopback.Answer:
        """An answer that comes when every time is over."""

        def late(handler: Any) -> None:
            self.seconds = float("inf")
            answer(handler)

        return late


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(http_connection, "monotonic", clock)
    return clock


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1"])
def test_an_answer_that_comes_in_drips_ends_with_the_time_for_a_request(
    server: Loopback, clock: Clock, part: bytes
) -> None:
    server.answers = [clock.then(begin(part))]
    with pytest.raises(TransientError, match="taken longer than it may as a whole"):
        post(client(), server.url)


def test_a_connection_that_was_idle_for_long_is_not_used(server: Loopback, clock: Clock) -> None:
    http = client()
    for clock.seconds in (0, 300, 601, 602):
        assert post(http, server.url).status == 200
    first, second, third, fourth = (seen.connection for seen in server.seen)
    assert first == second != third == fourth


@contextmanager
def peer(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """The address of a server that does this with its one connection, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_that_is_taken_in_drips_ends_with_the_time_for_a_request(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, scheme: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)

    taken: list[int] = []

    def take(connection: socket.socket) -> None:
        if scheme == "https":
            connection = tls.wrap_socket(connection, server_side=True)
        with connection:
            while some := connection.recv(1000):
                taken.append(len(some))
                clock.seconds = float("inf")

    with (
        peer(take) as address,
        pytest.raises(TransientError, match="taken longer than it may as a whole"),
    ):
        post(client(), f"{scheme}://{address}", MANY)
    assert sum(taken) < len(MANY)


def test_a_tls_handshake_that_comes_in_drips_ends_with_the_time_to_connect() -> None:
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")  # as much is to follow
        while not done.wait(0.01):
            connection.sendall(b"\0")

    with peer(drip) as address:
        http = HttpClient(connections=1, connect_timeout_seconds=0.1, read_timeout_seconds=10)
        with pytest.raises(TransientError, match="the TLS handshake timed out"):
            post(http, f"https://{address}")
        done.set()


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"HTTP/1.1 200 " + b"x" * 2 * http_connection.HEAD_BYTES, TOO_LONG),
        (b"HTTP/1.1 200 OK\r\nName: " + b"x" * 2 * http_connection.HEAD_BYTES, TOO_LONG),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 2 * http_connection.HEAD_BYTES, TOO_LONG),
        (
            b"HTTP/1.1 200 OK\r\n" + b"Name: x\r\n" * (http_connection.HEAD_BYTES // 4),
            "more than 100 headers",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (http_connection.HEAD_BYTES // 12), TOO_LONG),
        (b"220 " + b"x" * (http_connection.HEAD_BYTES // 2) + b"\r\n", "220 x{296}$"),
    ],
    ids=["reason", "value", "name", "headers", "announcements", "another protocol"],
)
def test_a_head_that_does_not_end_is_not_read_on(server: Loopback, head: bytes, error: str) -> None:
    server.answers = [begin(head)]
    http = client()
    with pytest.raises(TransientError, match=error):
        post(http, server.url)
    assert post(http, server.url).status == 200


def test_a_long_head_is_read(server: Loopback) -> None:
    server.answers = [raw(b"HTTP/1.1 204 No Content\r\n" + b"Name: %s\r\n" % (b"x" * 1000) * 50 + b"\r\n")]
    assert post(client(), server.url).status == 204


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 400_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 400_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"Name: x\r\n" * 50_000,
    ],
    ids=["sized", "until the end", "chunked", "trailers"],
)
def test_an_answer_that_does_not_end_is_not_read_on(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(http_connection, "ANSWER_BYTES", 1 << 18)
    server.answers = [begin(answer)]
    http = client()
    with pytest.raises(TransientError, match="the answer is longer than 256 KiB"):
        post(http, server.url)
    assert post(http, server.url).status == 200


def test_no_memory_is_taken_for_a_length_that_is_only_claimed(server: Loopback) -> None:
    server.answers = [begin(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 10**15)]
    with pytest.raises(TransientError, match="the answer is longer than 32768 KiB"):
        post(client(), server.url)


def test_an_answer_about_each_row_of_the_largest_request_is_read(server: Loopback) -> None:
    error = b'{"index": 12345, "errors": [{"reason": "invalid", "location": "", "debugInfo": "", "message": "%s"}]},'
    body = error % (b"x" * 150) * 50_000
    server.answers = [status(200, body)]
    assert post(client(), server.url).body == body


def test_silence_ends_with_the_read_timeout(server: Loopback) -> None:
    server.answers = [loopback.silence]
    with pytest.raises(TransientError, match="timed out"):
        post(client(read_seconds=0.05), server.url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "http:///path",
        "http://127.0.0.1:port/",
        "127.0.0.1",
        "http://a/b c",
        "http://[::1/",
    ],
)
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(TransientError):
        post(client(), url)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "ä\u20ac"])
def test_a_header_cannot_become_two(server: Loopback, value: str) -> None:
    with pytest.raises(TransientError):
        client().request("GET", server.url, {"name": value}, b"")
    assert server.seen == []


def test_tls_with_a_certificate_that_is_trusted(
    tls_server: Loopback, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    http = client()
    bodies: list[bytes | bytearray] = [b"", b"some", MANY, bytearray(b"more")]
    assert [post(http, f"{tls_server.url}/path", body).status for body in bodies] == [200] * 4
    assert [seen.body for seen in tls_server.seen] == bodies
    assert len({seen.connection for seen in tls_server.seen}) == 1


def test_tls_with_a_certificate_that_is_not(tls_server: Loopback) -> None:
    with pytest.raises(TransientError, match="certificate verify failed"):
        post(client(), tls_server.url)
    assert tls_server.seen == []


def test_tls_with_the_certificate_of_another_host(
    tls_server: Loopback, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(TransientError, match="localhost"):
        post(client(), tls_server.url.replace("127.0.0.1", "localhost"))
    assert tls_server.seen == []


def test_a_tls_connection_that_was_closed_while_it_waited_is_not_used(
    tls_server: Loopback, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_server.answers = [status(200), status(200, Connection="close")]
    http = client()
    assert [post(http, tls_server.url).status for _ in range(4)] == [200] * 4
    assert len({seen.connection for seen in tls_server.seen}) == 2


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    """Named by the variables of both schemes."""
    with forward_proxy() as running:
        name(monkeypatch, running.url)
        yield running


def name(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, url)


def test_a_proxy_is_asked_with_the_whole_address(server: Loopback, proxy: ForwardProxy) -> None:
    url = server.url.replace("127.0.0.1", "server.example")
    assert post(client(), f"{url}/path?query=1", b"some") == Answer(200, b"{}")
    (asked,) = proxy.seen
    assert (asked.method, asked.target) == ("POST", f"{url}/path?query=1")
    assert asked.headers["host"] == url.removeprefix("http://")
    assert "proxy-authorization" not in asked.headers
    (seen,) = server.seen
    assert (seen.path, seen.body) == ("/path?query=1", b"some")


def test_a_proxy_connects_to_a_server_with_tls_and_sees_nothing_of_a_request(
    tls_server: Loopback, proxy: ForwardProxy, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    http = client()
    for body in (b"some", MANY):
        assert post(http, f"{tls_server.url}/path", body).status == 200
    (asked,) = proxy.seen
    server = tls_server.url.removeprefix("https://")
    assert (asked.method, asked.target, asked.headers) == ("CONNECT", server, {"host": server})
    assert len({seen.connection for seen in tls_server.seen}) == 1


def test_the_certificate_has_to_be_the_servers_and_not_the_proxys(
    tls_server: Loopback, proxy: ForwardProxy, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(TransientError, match=r"server\.example"):
        post(client(), tls_server.url.replace("127.0.0.1", "server.example"))
    assert [asked.method for asked in proxy.seen] == ["CONNECT"]
    assert tls_server.seen == []


def test_a_user_and_a_password_go_to_the_proxy_alone(
    server: Loopback,
    tls_server: Loopback,
    proxy: ForwardProxy,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    name(monkeypatch, f"http://me:s%3Acret@{proxy.address}")
    for url in (server.url, tls_server.url):
        post(client(), url)
    assert {asked.headers["proxy-authorization"] for asked in proxy.seen} == {"Basic bWU6czpjcmV0"}
    for seen in (*server.seen, *tls_server.seen):
        assert "proxy-authorization" not in seen.headers


def test_a_host_that_is_to_be_asked_directly_is(
    server: Loopback, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert post(client(), server.url).status == 200
    assert proxy.seen == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_names_its_variable_and_not_what_it_holds(
    proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    name(monkeypatch, f"http://me:secret@{proxy.address}")
    proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"
    with pytest.raises(SetupError, match=r"wants a user and password.*407 for server\.example") as caught:
        post(client(), f"{scheme}://server.example")
    assert caught.value.setting == f"{scheme.upper()}_PROXY"
    assert proxy.address in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<html>", SetupError),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", SetupError),
        (b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n", SetupError),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", TransientError),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", TransientError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login.example\r\n\r\n", TransientError),
        (b"HTTP/1.1 200 OK\r\n\r\nunasked", TransientError),
        (b"HTTP/1.1 200 OK\r\n" + b"x\r\n" * http_connection.HEAD_BYTES, TransientError),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", TransientError),
        (b"HTTP/1.1 200 OK\r\n", TransientError),
        (b"HTTP/1.1 200 OK\r\nName: " + b"x" * 2 * http_connection.HEAD_BYTES, TransientError),
    ],
)
def test_a_proxy_that_does_not_connect_is_said(
    proxy: ForwardProxy, answer: bytes, error: type[Exception]
) -> None:
    proxy.answer = answer
    with pytest.raises(error, match="proxy"):
        post(client(), "https://server.example")


def test_a_proxy_that_is_not_there_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    name(monkeypatch, f"http://127.0.0.1:{loopback.unused_port()}")
    with pytest.raises(TransientError, match=r"^https://server\.example by the proxy 127\.0\.0\.1:\d+: "):
        post(client(), "https://server.example")
