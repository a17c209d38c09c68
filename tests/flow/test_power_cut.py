"""A power cut at every arrow of the way of an image: nothing acknowledged is lost, and no result comes under two UIDs."""

from contextlib import closing
from pathlib import Path

import pydicom
import pytest

from db.engine import open_store
from node.commands.options import now
from tests import peers, serving
from tests.ct_series import Series
from tests.flow.scanner import Scanner, scanner

SERIES = Series(slices=12)
LAUNCHER = ("-m", "tests.flow.crashing_node")

RECEIVING = [
    "node.scanners:Scanners.writer:before:7",
    "node.intake:Writer.write:after:9",
    "node.intake:Writer.commit:before:7",
    "node.intake:Writer.commit:after:7",
    "db.store:Store.received_later:before:7",
    "db.store:Store.received_later:after:1",
    "db.store:Store.received_later:after:12",
    "db.receiving:index:before:7",
    "db.receiving:index:after:12",
    "db.database:Database._do:after:1",
    "db.store:Store.closed_later:before:1",
]
TOGETHER = [  # with one sync for the association
    "node.intake:Writer.commit:after:7",
    "node.scanners:Scanners._sync:before:1",
    "db.spool:Spool.sync:after:1",
    "db.receiving:index:before:7",
    "node.scanners:Scanners.closed:after:1",
]
WORKING = [
    "db.store:Store.closed_later:after:1",
    "db.store:Store.settle:before:1",
    "db.store:Store.settle:after:1",
    "node.orders:Orders.order:before:1",
    "node.work:perform:before:1",
    "node.work:_documents:after:1",
    "node.shelf:write:after:1",
    "node.work:shelve:after:1",
    "db.store:Store.finish:before:1",
    "db.store:Store.finish:after:1",
    "delivery.dicom:send:before:1",
    "delivery.association:Association.store:after:1",
    "delivery.dicom:send:after:1",
    "db.store:Store.sent:before:1",
    "db.store:Store.sent:after:1",
]


def arrived(pacs: peers.StoreScp) -> dict[str, str]:
    """What the PACS ever got: SOP Instance UID -> SOP Class, series and number in it, which tell the roles apart."""
    found = {}
    for file in pacs.files():
        ds = pydicom.dcmread(file, stop_before_pixels=True)
        found[str(ds.SOPInstanceUID)] = f"{ds.SOPClassUID} {ds.SeriesNumber} {ds.InstanceNumber}"
    return found


def prepared(folder: Path, packages: Path, pacs: peers.StoreScp, quiet: float, durability: str = "instance") -> serving.Node:
    model = {"package": str(packages / "tiny"), "send_to": ["pacs"]}
    study = {"quiet_seconds": quiet}
    node = serving.prepare(folder, models=[model], destinations=[serving.pacs(pacs)], study=study, scp={"durability": durability})
    node.launcher = LAUNCHER
    return node


def delivered(node: serving.Node, study_uid: str) -> bool:
    """Whether the node has nothing left to do for this study, asked without a process of its own."""
    if not (node.data / "ancilla.db").exists():
        return False
    with closing(open_store(f"sqlite:///{node.data / 'ancilla.db'}", now)) as store:
        jobs = store.jobs(study_uid=study_uid)
    return any(job.kind == "deliver" for job in jobs) and all(job.state == "done" for job in jobs)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> dict[str, str]:
    """The results of a node that nothing happens to. Their UIDs derive from the input, so every other node must give the same."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sender = scanner(folder / "images", SERIES)
    with peers.storescp() as pacs, serving.serving(prepared(folder, packages, pacs, 0.3)) as node:
        sender.send(node)
        assert len(sender.acknowledged) == 12
        peers.wait_for(lambda: delivered(node, sender.study_uid), "the results", 60, node.alive)
        results = arrived(pacs)
    assert len(results) >= 2
    assert len(set(results.values())) == len(results), "one result per role"
    return results


@pytest.mark.peer
@pytest.mark.parametrize(
    ("place", "durability"),
    [*((place, "instance") for place in [*RECEIVING, *WORKING]), *((place, "association") for place in TOGETHER)],
)
def test_a_power_cut_loses_nothing_and_doubles_nothing(
    tmp_path: Path, packages: Path, expected: dict[str, str], place: str, durability: str
) -> None:
    sender = scanner(tmp_path / "images", SERIES)
    # While images still come the quiet time has to cover the restart, else a part of the study is rightly answered on its own.
    with peers.storescp() as pacs:
        node = prepared(tmp_path, packages, pacs, 0.3 if place in WORKING else 4.0, durability)
        try:
            crash(node, sender, place)
            acknowledged = sender.digests()
            node.start()
            node.wait()
            sender.send(node)
            assert len(sender.acknowledged) == 12
            peers.wait_for(lambda: delivered(node, sender.study_uid), "the results", 90, node.alive)
            assert arrived(pacs) == expected
            assert kept(node, sender.study_uid) == sender.digests()
            assert acknowledged.items() <= kept(node, sender.study_uid).items()
        finally:
            node.stop()
        assert node.ask("audit", "verify")["broken_seq"] is None


def crash(node: serving.Node, sender: Scanner, place: str) -> None:
    """Start the node with the fault in it and send until it is dead."""
    node.start(CRASH_AT=place)
    node.wait()
    sender.send(node)
    peers.wait_for(lambda: not node.alive(), f"the crash at {place}", 60)
    assert node.process is not None
    assert node.process.returncode == -9, node.log()[-2000:]


def kept(node: serving.Node, study_uid: str) -> dict[str, str]:
    with closing(open_store(f"sqlite:///{node.data / 'ancilla.db'}", now)) as store:
        return {instance.header.sop_instance_uid: instance.digest for instance in store.instances(study_uid)}
