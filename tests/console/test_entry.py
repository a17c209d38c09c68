"""Who sees the pages: this machine alone without logins, and whoever has one with them."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.logins import add_login, remove_login
from tests.console.browser import Console, console

PATHS = ("/", "/studies", "/studies/1.2.3", "/jobs", "/destinations", "/models", "/models/x", "/callers", "/audit", "/metrics")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Console]:
    started = console(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def logins(tmp_path: Path) -> Path:
    return tmp_path / "logins"


@pytest.fixture
def guarded(tmp_path: Path, logins: Path) -> Iterator[Console]:
    add_login(logins, "first", True)
    started = console(tmp_path, logins)
    yield started
    started.stop()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1", ""]
)
def test_without_logins_another_name_for_this_machine_is_refused(local: Console, host: str) -> None:
    for path in PATHS:
        answer = local.get(path, Host=host)
        assert answer.status == 421 and "console.admin_file" in answer.text
        assert answer.headers["cache-control"] == "no-store"
    assert local.get("/health", Host=host).status == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "127.1.2.3"])
def test_without_logins_this_machine_may_look(local: Console, host: str) -> None:
    assert local.get("/", Host=host).status == 200


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Forwarded", "Via", "X_Real_IP"])
def test_without_logins_a_proxy_is_refused(local: Console, name: str) -> None:
    answer = local.get("/", **{name: "10.0.0.1"})
    assert answer.status == 403 and "console.admin_file" in answer.text


def test_a_request_without_host_is_refused(local: Console) -> None:
    with socket.create_connection(("127.0.0.1", local.port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).split()[1] in (b"421", b"400")


def test_with_logins_no_page_is_read_without_one(guarded: Console) -> None:
    for path in PATHS:
        for login in (("", ""), ("first", "wrong"), ("nobody", ""), ("first", "")):
            guarded.login = login
            answer = guarded.get(path)
            assert answer.status == 401, (path, login)
            assert answer.headers["www-authenticate"].startswith("Basic ")
            assert "Overview" not in answer.text
    guarded.login = ("", "")
    assert guarded.get("/health").status == 200


@pytest.mark.parametrize("word", ["Basic", "Basic ", "Basic !!!", "Basic /w==", "Bearer abc", "Basic Zmlyc3Q="])
def test_a_login_that_cannot_be_read_is_none(guarded: Console, word: str) -> None:
    assert guarded.get("/", Authorization=word).status == 401


def test_a_login_opens_the_pages_under_any_name_and_behind_a_proxy(guarded: Console, logins: Path) -> None:
    guarded.login = ("second", add_login(logins, "second", False))
    answer = guarded.get("/", Host="console.hospital.example", X_Forwarded_For="10.0.0.1")
    assert answer.status == 200
    assert "second (may look)" in answer.words
    guarded.login = ("first", guarded.login[1])
    assert guarded.get("/").status == 401


def test_a_login_can_be_taken_away_and_changed_while_the_server_runs(guarded: Console, logins: Path) -> None:
    guarded.login = ("second", add_login(logins, "second", True))
    assert guarded.get("/").status == 200
    new = add_login(logins, "second", True)
    assert guarded.get("/").status == 401
    guarded.login = ("second", new)
    assert guarded.get("/").status == 200
    remove_login(logins, "second")
    assert guarded.get("/").status == 401


def test_the_token_of_one_visitor_is_no_good_to_another(guarded: Console, logins: Path) -> None:
    guarded.login = ("second", add_login(logins, "second", True))
    token = guarded.get("/audit").page.hidden["token"]
    guarded.login = ("third", add_login(logins, "third", True))
    assert guarded.post("/audit/verify", token=token).status == 403
