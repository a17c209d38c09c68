"""What a node has really kept, read from its files without its help: rows by sqlite3, bytes from the packs."""

import hashlib
import json
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests import serving
from tests.flow.scanner import data_set_at

EXPECTED = {"ancilla.db", "ancilla.db-wal", "ancilla.db-shm", "lock", "installation"}


@dataclass(frozen=True)
class Row:
    """One row of the table ``instances``."""

    uid: str
    winner: int
    digest: str
    pack: str
    offset: int
    length: int


def rows(node: serving.Node, database: Path | None = None) -> list[Row]:
    """Every indexed instance."""
    path = database or node.data / "ancilla.db"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        query = 'SELECT sop_instance_uid, winner, digest, pack, "offset", length FROM instances'
        return [Row(*row) for row in connection.execute(query)]
    finally:
        connection.close()


def check(node: serving.Node, acknowledged: dict[str, str], database: Path | None = None) -> list[Row]:
    """Everything acknowledged is there once and as it was sent, and nobody touched the audit log; returns all rows."""
    found = rows(node, database)
    winners = Counter(row.uid for row in found if row.winner)
    assert {uid for uid, count in winners.items() if count > 1} == set(), "more than one winner"
    assert [row for row in found if not row.winner] == [], "equal copies leave no row"
    digests = {row.uid: row.digest for row in found}
    lost = [uid for uid in acknowledged if uid not in digests]
    assert lost == [], f"{len(lost)} of {len(acknowledged)} acknowledged images are lost"
    assert {uid for uid, digest in acknowledged.items() if digests[uid] != digest} == set(), "other bytes than were sent"
    check_bytes(node, found)
    verified = node.ask("audit", "verify")
    assert verified["broken_seq"] is None, verified
    return found


def check_bytes(node: serving.Node, found: list[Row]) -> None:
    """The pack holds a PS3.10 file for each row, and the data set in it is the one of the row."""
    for row in found:
        with (node.data / "spool" / row.pack).open("rb") as pack:
            pack.seek(row.offset)
            content = pack.read(row.length)
        assert content[128:132] == b"DICM", row
        assert hashlib.sha256(content[data_set_at(content) :]).hexdigest() == row.digest, row


def strays(node: serving.Node) -> list[str]:
    """Files of the node outside the spool that nobody expects there, and anything in the spool that is no pack."""
    found = []
    for path in node.data.rglob("*"):
        name = path.relative_to(node.data).as_posix()
        if path.is_file() and not (name.startswith("spool/") and name.endswith(".pack")) and name not in EXPECTED:
            found.append(name)
    return [name for name in found if not name.startswith("visitors/")]


def torn(node: serving.Node) -> list[str]:
    """Bytes in packs behind the last indexed record: half-stored objects. Only while nothing is being sent."""
    ends: dict[str, int] = {}
    for row in rows(node):
        ends[row.pack] = max(ends.get(row.pack, 0), row.offset + row.length)
    packs = {path.relative_to(node.data / "spool").as_posix(): path for path in (node.data / "spool").rglob("*.pack")}
    return [name for name, path in packs.items() if path.stat().st_size != ends.get(name, 0)]


def events(node: serving.Node) -> Counter[str]:
    """How often each event stands in the audit log."""
    connection = sqlite3.connect(f"file:{node.data / 'ancilla.db'}?mode=ro", uri=True, timeout=30)
    try:
        return Counter(dict(connection.execute("SELECT event, count(*) FROM audit GROUP BY event")))
    finally:
        connection.close()


def serious(node: serving.Node) -> list[str]:
    """Lines of the node's log that say something went wrong that nobody foresaw."""
    return [line for line in node.log().splitlines() if "level=ERROR" in line or "Traceback" in line or "Exception" in line]


def dump(node: serving.Node) -> str:
    """The end of the log and the events, for the message of a failed test."""
    return json.dumps(events(node)) + "\n" + node.log()[-3000:]
