"""The disk fills up in the middle: the sender hears 0xA700, the node lives, and goes on when there is space again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import peers, serving
from tests.faults import kept
from tests.faults.disks import Disk, disk
from tests.faults.images import Image, image
from tests.faults.rounds import report, rounds
from tests.faults.senders import Scanner
from tests.scp.wire import CT, EXPLICIT, IMPLICIT, VERIFICATION, EndedError, Sender

SIZE = 24_000_000
FULL = 0xA700
CYCLES = rounds(3, 25)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "disk", SIZE) as found:
        yield found


def sender_to(node: serving.Node) -> Sender:
    return Sender(node.port).associate(((CT, (EXPLICIT,)), (VERIFICATION, (IMPLICIT,))), calling=serving.CALLER)


def echoes(node: serving.Node) -> bool:
    """Whether somebody is there. A node that cannot even note who came says so: temporary congestion, or 0x0000."""
    try:
        with sender_to(node) as sender:
            return sender.echo(3) == 0
    except EndedError as ended:
        return ended.pdu[:1] == b"\x03"


class Book:
    """Images of one study and what became of them."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str] = {}
        self.refused: list[Image] = []
        self._made = 0

    def store(self, sender: Sender, size: int = 100_000, again: Image | None = None) -> int:
        self._made += not again
        one = again or image(1, self._made, 1, size)
        status = sender.store(one.data, one.uid).status
        if status == 0:
            self.acknowledged[one.uid] = one.digest
        else:
            self.refused.append(one)
        return status

    def until_full(self, sender: Sender, size: int = 100_000) -> int:
        """Send until it is refused; the status."""
        for _ in range(2 * SIZE // size):
            if status := self.store(sender, size):
                return status
        raise AssertionError("the disk never became full")

    def again(self, sender: Sender) -> None:
        """What was refused is taken now."""
        owed, self.refused = self.refused, []
        for one in owed:
            assert self.store(sender, again=one) == 0


def prepared(folder: Path, place: Disk, **sections: serving.Table) -> serving.Node:
    """Everything the node keeps lies on the small disk."""
    scp = {"reserve_gb": place.reserve_gb}
    node = serving.prepare(folder, scp=scp, study={"quiet_seconds": 0.2}, **sections)
    node.toml.write_text(node.toml.read_text().replace(str(node.data), str(place.folder / "data")))
    (folder / "data").symlink_to(place.folder / "data")
    return node


def complete(node: serving.Node, count: int) -> bool:
    """Whether all images are in closed studies."""
    studies = node.ask("studies")
    return sum(study["instances"] for study in studies) >= count and all(study["state"] == "complete" for study in studies)


def test_a_full_disk_is_answered_and_survived(tmp_path: Path, small: Disk) -> None:
    """Packs, database and its log share the disk; it is filled to the last byte while one association goes on."""
    node, book = prepared(tmp_path, small), Book()
    with serving.serving(node), sender_to(node) as sender:
        for cycle in range(CYCLES):
            assert book.store(sender, 20_000) == 0
            small.fill(leave=(0, 30_000, 500_000)[cycle % 3])
            assert book.until_full(sender, (100_000, 20_000, 400)[cycle % 3]) == FULL
            assert book.store(sender, 300_000) == FULL
            assert sender.echo(3) == 0, "the association goes on"
            assert echoes(node)
            small.relieve()
            book.again(sender)
        sender.release()
        assert node.alive()
        peers.wait_for(lambda: complete(node, len(book.acknowledged)), "the end of the study", 30, node.alive)
    assert kept.torn(node) == []
    kept.check(node, book.acknowledged)
    report(cycles=CYCLES, acknowledged=len(book.acknowledged), really_full=small.real)


def test_a_study_whose_association_ends_while_the_disk_is_full_is_not_kept_open_for_ever(tmp_path: Path, small: Disk) -> None:
    node, book = prepared(tmp_path, small), Book()
    with serving.serving(node):
        with sender_to(node) as sender:
            assert book.store(sender) == 0
            small.fill()
            assert book.until_full(sender) == FULL
            sender.release()
        small.relieve()
        peers.wait_for(lambda: complete(node, len(book.acknowledged)), "the end of the study", 30, node.alive)
    kept.check(node, book.acknowledged)


def turned_away(scanners: list[Scanner]) -> int:
    """Images refused, and associations that the node could not even note."""
    return sum(sum(scanner.book.refused.values()) + scanner.book.lost for scanner in scanners)


def test_four_senders_and_a_disk_that_is_full_again_and_again_lose_nothing(tmp_path: Path, small: Disk) -> None:
    node = prepared(tmp_path, small)
    scanners = [Scanner(number, node.port, 7, ceiling=40) for number in range(1, 5)]
    with serving.serving(node):
        small.fill(leave=200_000)
        for scanner in scanners:
            scanner.start()
        for _ in range(rounds(4, 30)):
            before = turned_away(scanners)
            peers.wait_for(
                lambda before=before: turned_away(scanners) > before + 3 or not any(one.is_alive() for one in scanners),  # type: ignore[misc]
                "refusals",
                30,
                node.alive,
            )
            small.relieve()
            small.fill(leave=1_000_000)
        small.relieve()
        for scanner in scanners:
            scanner.finish()
            scanner.join(60)
            assert not scanner.is_alive()
    acknowledged = {uid: digest for scanner in scanners for uid, digest in scanner.book.acknowledged.items()}
    statuses = {status for scanner in scanners for status in scanner.book.refused}
    assert statuses <= {FULL}, {f"{status:04X}" for status in statuses}
    assert acknowledged == {uid: digest for scanner in scanners for uid, digest in scanner.book.sent.items()}
    kept.check(node, acknowledged)


class Switch:
    """SQLite itself says that its disk is full: for whoever may not mount one."""

    def __init__(self, node: serving.Node) -> None:
        self._file = node.folder / "full"
        node.launcher = ("-m", "tests.faults.full_database_node")
        node.env["FULL_WHILE"] = str(self._file)

    def fill(self) -> None:
        self._file.touch()

    def relieve(self) -> None:
        self._file.unlink()


def test_a_full_disk_under_the_database_alone_is_answered_and_survived(tmp_path: Path, small: Disk) -> None:
    """The bytes are in the pack, the row cannot be written: that is no acknowledgement, and no second copy afterwards."""
    database = small.folder / "ancilla.db" if small.real else tmp_path / "data" / "ancilla.db"
    node, book = serving.prepare(tmp_path, node={"database": f"sqlite:///{database}"}), Book()
    full = small if small.real else Switch(node)
    with serving.serving(node), sender_to(node) as sender:
        assert book.store(sender) == 0
        full.fill()
        assert book.until_full(sender, 400) == FULL
        assert echoes(node)
        full.relieve()
        book.again(sender)
        sender.release()
    kept.check(node, book.acknowledged, database)


def test_a_power_cut_while_the_database_is_full_loses_nothing(tmp_path: Path) -> None:
    """As above, by a fault in SQLite itself, and with a power cut before the space is back."""
    node, book = serving.prepare(tmp_path), Book()
    full = Switch(node)
    with serving.serving(node), sender_to(node) as sender:
        assert book.store(sender) == 0
        full.fill()
        assert book.until_full(sender, 400) == FULL
        assert echoes(node)
        node.kill()
        full.relieve()
        node.start()
        node.wait()
        with sender_to(node) as again:
            book.again(again)
            again.release()
    kept.check(node, book.acknowledged)
    assert kept.events(node)["recovered"] >= 1, "the image that had no row was found in its pack"
