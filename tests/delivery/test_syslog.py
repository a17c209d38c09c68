"""Audit messages by syslog, as rsyslog understands them: framing, header, TLS, and what is known about what arrived."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from delivery.syslog import Line, packet, reach
from domain.errors import TransientError
from domain.repositories import Repository
from tests import peers
from tests.scp.certificates import Authority, Identity

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("syslog")


@pytest.fixture(scope="module")
def ours(folder: Path) -> Authority:
    return Authority(folder, "hospital")


@pytest.fixture(scope="module")
def mine(ours: Authority) -> Identity:
    return ours.identity("node")


@pytest.fixture(scope="module")
def peer(folder: Path, ours: Authority) -> Iterator[peers.Rsyslog]:
    server = ours.identity("repository")
    with peers.rsyslog(folder, ours.cert, server.cert, server.key) as running:
        yield running


@pytest.fixture
def repository(peer: peers.Rsyslog, ours: Authority, mine: Identity) -> Repository:
    return Repository("tls", "127.0.0.1", peer.port, str(ours.cert), str(mine.cert), str(mine.key), 5.0)


def named(peer: peers.Rsyslog, mark: str, several: int = 1) -> list[dict[str, str]]:
    """The messages with ``mark`` in them, as soon as there are so many."""

    def look() -> list[dict[str, str]] | None:
        found = [one for one in peer.messages() if mark in one["msg"]]
        return found if len(found) >= several else None

    return peers.wait_for(look, f"{several} messages with {mark}")


def test_every_part_of_the_header_is_what_rfc_5424_and_ihe_ask_for(peer: peers.Rsyslog, repository: Repository) -> None:
    line = Line(repository)
    line.send([packet(AT, 0, "node 7\u00fc", 4711, '<A b="\u00e9\u4e2d"/>'), packet(AT, 8, "", 1, "<A/>")])
    line.check()
    assert line.close() is True
    good, bad = named(peer, "<A", 2)
    assert good == {
        "pri": "85",  # facility 10, notice
        "time": "2026-03-01T12:00:00.123456Z",
        "host": "node7",
        "app": "ancilla",
        "procid": "4711",
        "msgid": "DICOM+RFC3881",
        "sd": "-",
        "msg": '\ufeff<A b="\u00e9\u4e2d"/>',
    }
    assert (bad["pri"], bad["host"]) == ("83", "-")


def test_long_and_many_messages_keep_their_borders_and_their_order(peer: peers.Rsyslog, repository: Repository) -> None:
    line = Line(repository)
    for batch in range(4):
        line.send(
            [packet(AT, 4, "node7", 1, f"<B n='{batch * 50 + n}'>{'x' * 32_000 if n == 7 else ''}\n</B>") for n in range(50)]
        )
    line.close()
    found = named(peer, "<B", 200)
    assert [int(one["msg"].split("'")[1]) for one in found] == list(range(200))
    assert max(len(one["msg"]) for one in found) > 32_000


def test_datagrams_arrive_too(peer: peers.Rsyslog, repository: Repository) -> None:
    line = Line(replace(repository, transport="udp"))
    line.send([packet(AT, 0, "node7", 1, f"<C n='{n}'>{'y' * 9000}</C>") for n in range(10)])
    line.check()
    assert line.close() is True
    assert len(named(peer, "<C", 10)) == 10


def test_who_can_be_reached_is_said_with_the_version_of_tls(repository: Repository) -> None:
    assert reach(repository) == "TLSv1.3"


def test_without_the_certificate_the_repository_asks_for_it_is_not_reached(repository: Repository) -> None:
    bare = replace(repository, cert_file="", key_file="")
    with pytest.raises(TransientError, match=r"do not agree on TLS|cannot be reached"):
        reach(bare)


def test_what_a_repository_that_turns_us_away_was_sent_counts_as_lost(peer: peers.Rsyslog, repository: Repository) -> None:
    def until_it_is_noticed() -> None:
        line = Line(replace(repository, cert_file="", key_file=""))
        line.send([packet(AT, 0, "node7", 1, "<D/>")])
        peers.wait_for(lambda: line.check(), "an error")

    with pytest.raises(TransientError):
        until_it_is_noticed()
    assert not [one for one in peer.messages() if "<D" in one["msg"]]


def test_a_repository_we_do_not_trust_gets_nothing(folder: Path, repository: Repository) -> None:
    with pytest.raises(TransientError, match="certificate"):
        Line(replace(repository, ca_file=str(Authority(folder, "rogue").cert)))
    with pytest.raises(TransientError, match="localhost"):
        Line(replace(repository, host="localhost"))


def test_a_missing_repository_and_a_missing_file_are_named(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="connection refused"):
        reach(replace(repository, port=peers.free_port()))
    with pytest.raises(TransientError, match="cannot be read"):
        reach(replace(repository, ca_file=str(tmp_path / "none.pem")))
    with pytest.raises(TransientError, match="name is not known"):
        reach(replace(repository, host="no-such-host.invalid"))


def test_a_repository_that_ends_is_noticed_before_anything_more_is_sent(folder: Path, ours: Authority, tmp_path: Path) -> None:
    server = ours.identity("second")
    with peers.rsyslog(tmp_path, ours.cert, server.cert, server.key, ask_cert=False) as short:
        line = Line(Repository("tls", "127.0.0.1", short.port, str(ours.cert), timeout_seconds=5.0))
        line.send([packet(AT, 0, "node7", 1, "<E/>")])
        named(short, "<E")
    with pytest.raises(TransientError):
        line.check()
    line.close()


def test_a_repository_that_takes_nothing_any_more_is_given_up_after_the_time_limit(ours: Authority) -> None:
    """A listener whose system takes connections and fills its buffers, and nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(TransientError, match="in time"):
        Line(Repository("tls", "127.0.0.1", deaf.getsockname()[1], str(ours.cert), timeout_seconds=0.2))


def test_a_line_that_is_cut_ends_at_once_in_the_thread_that_uses_it(repository: Repository) -> None:
    line = Line(repository)
    cutter = threading.Thread(target=line.cut)
    cutter.start()
    cutter.join()
    with pytest.raises(TransientError):
        line.check()
    line.close()
