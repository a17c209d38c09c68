"""The intake of the receiver: rows follow their images unseen, and never run ahead of the disk."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.engine import open_store
from db.spool import Recovered, Spool
from domain.errors import NotKeptError, OutOfSpaceError, TransientError
from domain.evidence import Commitment, Evidence, Member, Source
from domain.instances import Caller, Header, Receipt
from node import scanners
from node.intake import Intake
from node.scanners import Scanners
from node.witness import Witness
from scp.part10 import meta_bytes

CALLER = Caller("CT01", "ANCILLA", "127.0.0.1")
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CT = "1.2.840.10008.5.1.4.1.1.2"


class Setup:
    """A node's storage without its network; counts the syncs of packs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, each_durable: bool) -> None:
        self.folder, self.seconds, self.syncs = folder, 0.0, 0
        self.spool, self.store = Spool(folder / "spool"), open_store(folder / "ancilla.db", lambda: AT)
        self.intake = Intake(self.spool, self.store, 30, 1800, lambda: AT)
        self.scanners = Scanners(self.intake, self.spool, each_durable, lambda: self.seconds)
        self.fail: OSError | None = None
        whole = os.fdatasync

        def sync(fd: int) -> None:
            self.syncs += 1
            if self.fail:
                raise self.fail
            whole(fd)

        monkeypatch.setattr(os, "fdatasync", sync)

    def send(self, association: str, number: int, study: str = "1.2.3") -> Receipt:
        header = Header(CT, f"{study}.1.{number}", "1.2.840.10008.1.2.1", study, f"{study}.1", "CT")
        writer = self.scanners.writer(association, CALLER, header, meta_bytes(header, "CT01"))
        writer.write(b"data" * 1000)
        return writer.commit()

    def early_syncs_are_over(self) -> None:
        self.scanners._syncer.submit(int).result(20)

    def rows(self, study: str = "1.2.3") -> list[str]:
        return [each.header.sop_instance_uid for each in self.store.instances(study)]


@pytest.fixture
def each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    return Setup(tmp_path, monkeypatch, each_durable=True)


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    return Setup(tmp_path, monkeypatch, each_durable=False)


def test_with_durability_instance_each_image_is_synced_before_it_is_answered_and_seen_by_whoever_asks(each: Setup) -> None:
    association = each.scanners.opened(CALLER)
    for number in range(5):
        assert each.send(association, number) is Receipt.TAKEN
        assert each.syncs == number + 1
    assert each.rows() == [f"1.2.3.1.{number}" for number in range(5)]


def test_the_end_of_an_association_comes_after_its_rows_in_the_log(each: Setup) -> None:
    association = each.scanners.opened(CALLER)
    for number in (1, 2, 2):
        each.send(association, number)
    each.scanners.closed(association, "released")
    events = [row.event for row in each.store.audit()]
    assert events == ["association-opened", "stored", "stored", "duplicate", "association-closed"]


def test_with_durability_association_nothing_is_indexed_before_the_one_sync_at_its_end(whole: Setup) -> None:
    association = whole.scanners.opened(CALLER)
    for number in range(50):
        assert whole.send(association, number) is Receipt.TAKEN
    assert (whole.syncs, whole.rows()) == (0, [])
    whole.scanners.closed(association, "released")
    assert whole.syncs == 1
    assert len(whole.rows()) == 50


@pytest.mark.parametrize("how", ["aborted", "lost"])
def test_what_came_before_an_association_broke_is_kept_all_the_same(whole: Setup, how: str) -> None:
    association = whole.scanners.opened(CALLER)
    whole.send(association, 1)
    whole.scanners.closed(association, how)
    assert (whole.syncs, whole.rows()) == (1, ["1.2.3.1.1"])


def test_images_of_a_long_association_wait_a_second_at_most_while_others_come(whole: Setup) -> None:
    association = whole.scanners.opened(CALLER)
    whole.send(association, 1)
    whole.seconds = 1.5
    whole.send(association, 2)
    assert (whole.syncs, len(whole.rows())) == (1, 2)
    whole.send(association, 3)
    assert (whole.syncs, len(whole.rows())) == (1, 2)


def test_every_study_of_a_mixed_association_is_synced(whole: Setup) -> None:
    association = whole.scanners.opened(CALLER)
    for study in range(20):  # more than the spool keeps open
        whole.send(association, 1, f"1.2.{study}")
    whole.scanners.closed(association, "released")
    assert whole.syncs == 20
    assert all(whole.rows(f"1.2.{study}") for study in range(20))


def test_a_sync_that_fails_keeps_the_rows_out_and_says_so_before_the_release(whole: Setup) -> None:
    association = whole.scanners.opened(CALLER)
    whole.send(association, 1)
    whole.fail = OSError(errno.EIO, "no disk")
    with pytest.raises(NotKeptError):
        whole.scanners.closed(association, "released")
    assert whole.rows() == []
    assert [row.event for row in whole.store.audit()] == ["association-opened", "association-closed"]
    assert '"how":"lost"' in list(whole.store.audit())[-1].details


def test_a_sync_that_failed_once_is_never_believed_later(whole: Setup) -> None:
    association = whole.scanners.opened(CALLER)
    whole.send(association, 1)
    whole.fail, whole.seconds = OSError(errno.ENOSPC, "full"), 2.0
    with pytest.raises(OutOfSpaceError):
        whole.send(association, 2)
    whole.fail = None
    with pytest.raises(NotKeptError):  # the kernel may have dropped the pages, whatever the next sync says
        whole.scanners.closed(association, "released")
    assert whole.rows() == []


def test_images_that_were_not_synced_are_in_the_pack_after_a_crash_of_the_process_alone(whole: Setup) -> None:
    association = whole.scanners.opened(CALLER)
    whole.send(association, 1)
    found = list(Spool(whole.folder / "spool").recover(whole.store.indexed()))
    assert [one.instance.header.sop_instance_uid for one in found if isinstance(one, Recovered)] == ["1.2.3.1.1"]


def test_a_storage_commitment_makes_durable_what_was_acknowledged(whole: Setup) -> None:
    witness = Witness(whole.store, lambda: None)
    witness.make_durable = whole.scanners.make_durable
    association = whole.scanners.opened(CALLER)
    whole.send(association, 1)
    members = (Member(CT, "1.2.3.1.1"), Member(CT, "1.2.3.1.2"))
    answer = witness.commit(CALLER, Evidence(Source.COMMITMENT, "1.9", "", final=True, members=members))
    assert answer == Commitment("1.9", members[:1], members[1:])
    assert whole.syncs == 1


def test_a_commitment_is_not_answered_when_the_disk_fails(whole: Setup) -> None:
    witness = Witness(whole.store, lambda: None)
    witness.make_durable = whole.scanners.make_durable
    whole.send(whole.scanners.opened(CALLER), 1)
    whole.fail = OSError(errno.EIO, "no disk")
    with pytest.raises(TransientError):
        witness.commit(CALLER, Evidence(Source.COMMITMENT, "1.9", "", final=True, members=(Member(CT, "1.2.3.1.1"),)))


def test_with_durability_association_another_thread_syncs_what_has_come_and_rows_wait(
    whole: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanners, "MUCH", 10_000)
    association = whole.scanners.opened(CALLER)
    for number in range(3):
        whole.send(association, number)
    whole.early_syncs_are_over()
    assert whole.syncs == 1 and whole.rows() == []
    whole.scanners.closed(association, "released")
    assert whole.syncs == 1, "nothing came after the early one"
    assert whole.rows() == [f"1.2.3.1.{number}" for number in range(3)]


def test_an_early_sync_that_fails_is_told_to_who_releases(whole: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanners, "MUCH", 10_000)
    association = whole.scanners.opened(CALLER)
    whole.fail = OSError(errno.EIO, "broken")
    for number in range(3):
        whole.send(association, number)
    whole.early_syncs_are_over()
    whole.fail = None  # a later sync would succeed, but the kernel may have dropped the pages
    with pytest.raises(NotKeptError):
        whole.scanners.closed(association, "released")
    assert whole.rows() == []
