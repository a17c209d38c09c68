"""A node and an rsyslog that is not ours: neither kill -9 nor a repository that goes away loses a row of the audit log."""

from contextlib import closing
from pathlib import Path

import pytest

from db.engine import open_store
from db.store import Store
from domain.audit import Event
from node.commands.options import now
from tests import peers, serving
from tests.ct_series import Series
from tests.flow.scanner import scanner
from tests.node.atna.reading import checked, kept
from tests.scp.certificates import Authority

pytestmark = pytest.mark.peer
LONG = 3000  # rows of an earlier life


def store_of(node: serving.Node) -> Store:
    return open_store(f"sqlite:///{node.data / 'ancilla.db'}", now)


def numbers(peer: peers.Rsyslog) -> list[int]:
    """The rows that arrived, in the order of arrival: their number is the last ParticipantObjectID of a message."""
    marks = [one["msg"].rpartition('ParticipantObjectID="')[2] for one in peer.messages()]
    return [int(mark.partition('"')[0]) for mark in marks]


def test_every_row_arrives_and_in_order_though_node_and_repository_are_killed(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "hospital")
    server, mine = authority.identity("repository"), authority.identity("node")
    port = peers.free_port()
    files = {"ca_file": str(authority.cert), "cert_file": str(mine.cert), "key_file": str(mine.key)}
    node = serving.prepare(tmp_path, audit={"syslog": f"tls://127.0.0.1:{port}", **files})
    node.data.mkdir()
    with closing(store_of(node)) as store, store._database.write() as tx:
        for number in range(LONG):
            tx.audit(Event.NODE_RELOADED, "node", {"number": number})
    try:
        with peers.rsyslog(tmp_path, authority.cert, server.cert, server.key, port) as peer:
            node.start()
            peers.wait_for(lambda: peer.count() > 500, "some of the rows", alive=node.alive)
            node.kill()
            node.start()
            node.wait()
            ct = scanner(tmp_path / "ct", Series(slices=3))
            ct.send(node)
            assert len(ct.acknowledged) == 3
            peers.wait_for(lambda: peer.count() > LONG // 2, "more of the rows", alive=node.alive)
        with peers.rsyslog(tmp_path, authority.cert, server.cert, server.key, port) as peer:
            peers.wait_for(lambda: _last(node) in numbers(peer), "the last row", alive=node.alive)
            assert node.stop() == 0
            with closing(store_of(node)) as store:
                rows, stands = list(store.audit()), store.forwarded()
            assert (stands.seq, stands.behind) == (rows[-1].seq, 0), "a proper stop leaves nothing uncertain"
            peers.wait_for(lambda: rows[-1].seq in numbers(peer), "the last row in the file of the peer")
            arrived = numbers(peer)
            assert list(dict.fromkeys(arrived)) == [row.seq for row in rows], "each once at least, the first time in order"
            newest = [kept(checked(one["msg"].removeprefix("\ufeff").encode())) for one in peer.messages()[-20:]]
            hashes = {row.seq: row.hash for row in rows}
            assert all(hashes[int(one["seq"])] == one["hash"] for one in newest)
            assert newest[-1]["event"] == "node-stopped"
    finally:
        node.stop()


def _last(node: serving.Node) -> int:
    with closing(store_of(node)) as store:
        return store.head()[0]
