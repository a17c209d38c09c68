"""Connections that never ask for anything are closed, and nobody else waits for them."""

import socket
import time

import pytest

from console import guard
from tests.console.conftest import Start, Web
from tests.peers import wait_for


def connect(web: Web) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.port), timeout=20)


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed it; waits for it."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("said", [b"", b"G", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_request_header_is_not_waited_for(start: Start, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.3)
    with connect(start()) as client:
        client.sendall(said)
        assert is_closed(client)


def test_a_header_that_trickles_is_not_waited_for_either(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.5)
    with connect(start()) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nX: ")
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 15:
                client.sendall(b"x")
                client.settimeout(0.05)
                try:
                    if client.recv(1) == b"":
                        raise BrokenPipeError
                except TimeoutError:
                    continue
        assert time.monotonic() - began < 10


def test_the_second_request_of_a_connection_has_the_same_limit(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.3)
    with connect(start()) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"ok"):
            answer += client.recv(1000)
        client.sendall(b"GET /hea")
        assert is_closed(client)


def test_silent_connections_take_nobodys_place(start: Start) -> None:
    web = start()
    silent = [connect(web) for _ in range(guard.MOST_WAITING + 40)]
    assert web.ask("GET", "/health").content == b"ok"
    assert is_closed(silent[0])
    for client in silent:
        client.close()
    wait_for(lambda: not web.server._server.server_state.connections, "all connections to be forgotten")


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost: " + b"x" * 40_000, b"\0" * 1000 + b"\r\n\r\n"]
)
def test_what_is_no_http_is_answered_400_and_closed(start: Start, said: bytes) -> None:
    web = start()
    with connect(web) as client:
        client.sendall(said)
        assert client.recv(12) == b"HTTP/1.1 400"
    assert web.ask("GET", "/health").status == 200


def test_other_paths_and_methods_tell_nothing(start: Start) -> None:
    web = start()
    assert [web.ask("GET", path).status for path in ("/", "/dicom-web/studies", "/docs")] == [404, 405, 404]
    assert "server" not in web.ask("GET", "/health").headers
