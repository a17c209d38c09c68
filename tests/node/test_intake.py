"""Between receiver, spool and store: durable first, indexed second, and many associations at the same time."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.engine import open_store
from db.spool import Recovered, Spool
from db.store import Store
from domain.errors import OutOfSpaceError
from domain.instances import Caller, Header, Receipt
from node.intake import Intake
from scp.part10 import meta_bytes

CALLER = Caller("CT01", "ANCILLA", "127.0.0.1")
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Setup:
    """Spool, store and intake in one folder."""

    def __init__(self, folder: Path, reserve: int = 0) -> None:
        self.folder = folder
        self.spool = Spool(folder / "spool", reserve)
        self.store: Store = open_store(folder / "ancilla.db", lambda: AT)
        self.intake = Intake(self.spool, self.store, 30, 1800, lambda: AT)

    def send(self, association: str, number: int, data: bytes = b"data", study: str = "1.2.3") -> Receipt:
        header = Header("1.2.840.10008.5.1.4.1.1.2", f"{study}.1.{number}", "1.2.840.10008.1.2.1", study, f"{study}.1", "CT")
        writer = self.intake.writer(association, CALLER, header, meta_bytes(header, "CT01"))
        writer.write(data[:2])
        writer.write(memoryview(data)[2:])
        return writer.commit()


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_what_is_committed_can_be_read_back_and_is_indexed(setup: Setup) -> None:
    association = setup.intake.opened(CALLER)
    assert setup.send(association, 1, b"pixels") is Receipt.STORED
    (instance,) = setup.store.instances("1.2.3")
    assert bytes(setup.spool.view(instance.place)).endswith(b"pixels")
    assert (instance.caller, instance.association_id, instance.received_at) == (CALLER, association, AT)
    study = setup.store.study("1.2.3")
    assert study is not None and (study.quiet_at - AT).total_seconds() == 30 and (study.deadline - AT).total_seconds() == 1800


def test_the_same_object_again_and_another_with_its_uid_are_told_apart(setup: Setup) -> None:
    association = setup.intake.opened(CALLER)
    assert [setup.send(association, 1, data) for data in (b"aaaa", b"aaaa", b"bbbb")] == [
        Receipt.STORED,
        Receipt.DUPLICATE,
        Receipt.CONFLICT,
    ]


def test_what_is_discarded_leaves_nothing(setup: Setup) -> None:
    association = setup.intake.opened(CALLER)
    header = Header("1.2", "1.2.3.9", "1.2.840.10008.1.2.1", "1.2.3", "1.2.3.1")
    writer = setup.intake.writer(association, CALLER, header, meta_bytes(header, "CT01"))
    writer.write(b"half of it")
    writer.discard()
    assert setup.send(association, 1) is Receipt.STORED
    assert len(setup.store.instances("1.2.3")) == 1


def test_the_end_of_an_association_is_recorded(setup: Setup) -> None:
    association = setup.intake.opened(CALLER)
    setup.send(association, 1)
    setup.intake.closed(association, "aborted")
    assert [row.event for row in setup.store.audit()] == ["association-opened", "stored", "association-closed"]


def test_refusals_and_rejections_are_recorded(setup: Setup) -> None:
    association = setup.intake.opened(CALLER)
    setup.intake.refused(CALLER, association, 0xC000, "no Study Instance UID")
    setup.intake.rejected(CALLER, "calling AE title is unknown")
    assert [row.event for row in setup.store.audit()][1:] == ["refused", "association-rejected"]


def test_below_the_reserve_an_object_is_refused_before_it_is_written(tmp_path: Path) -> None:
    setup = Setup(tmp_path, reserve=1 << 62)
    with pytest.raises(OutOfSpaceError):
        setup.send(setup.intake.opened(CALLER), 1)


def test_many_associations_at_the_same_time_lose_nothing(setup: Setup) -> None:
    def scanner(number: int) -> None:
        association = setup.intake.opened(CALLER)
        for image in range(10):
            setup.send(association, image, bytes([number]) * 1000, study=f"1.2.{number}")
        setup.intake.closed(association, "released")

    threads = [threading.Thread(target=scanner, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        instances = setup.store.instances(f"1.2.{number}")
        assert len(instances) == 10
        assert all(bytes(setup.spool.view(i.place)).endswith(bytes([number]) * 1000) for i in instances)


def test_an_object_whose_row_was_not_written_is_found_in_its_pack(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    association = setup.intake.opened(CALLER)
    setup.send(association, 1)

    def broken(*_: object) -> Receipt:
        raise OSError("the power went")

    monkeypatch.setattr(setup.store, "received", broken)
    with pytest.raises(OSError, match="power"):
        setup.send(association, 2)
    found = list(Spool(setup.folder / "spool").recover(setup.store.indexed()))
    assert [one.instance.header.sop_instance_uid for one in found if isinstance(one, Recovered)] == ["1.2.3.1.2"]
