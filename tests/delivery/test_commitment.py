"""An archive is asked for commitment; its report on the same association is heard, an archive without the service is named."""

import pytest

from delivery.commitment import NoCommitmentError, ask
from domain.destinations import Destination
from domain.errors import TransientError
from domain.evidence import Member
from scp.receiver import Receiver
from scp.settings import Peer, ReceiverSettings
from tests import peers
from tests.scp.recording_intake import RecordingIntake
from tests.scp.test_services import Witness

CT = "1.2.840.10008.5.1.4.1.1.2"
MEMBERS = [Member(CT, "1.2.3.1"), Member(CT, "1.2.3.2")]


def to(port: int, ae_title: str = "ARCHIVE") -> Destination:
    return Destination("pacs", "dicom", "127.0.0.1", port, ae_title, "NODE", timeout_seconds=5)


def test_a_report_on_the_same_association_is_the_answer() -> None:
    """Our own receiver is the archive here: it reports on the same association to whoever has no port of its own."""
    witness = Witness(durable=frozenset({"1.2.3.1"}))
    archive = Receiver(ReceiverSettings("ARCHIVE", peers=(Peer("NODE", "127.0.0.1"),)), RecordingIntake(), witness)
    port = archive.start()
    try:
        found = ask(to(port), "2.25.7", MEMBERS, wait_seconds=10)
    finally:
        archive.stop()
    assert found is not None and found.transaction_uid == "2.25.7"
    assert (found.durable, found.missing) == ((MEMBERS[0],), (MEMBERS[1],))


@pytest.mark.peer
def test_an_archive_that_reports_elsewhere_leaves_the_answer_open() -> None:
    with peers.orthanc(extra={"DicomModalities": {"node": ["NODE", "127.0.0.1", peers.free_port()]}}) as pacs:
        assert ask(to(pacs.port, pacs.ae_title), "2.25.7", MEMBERS, wait_seconds=0) is None


@pytest.mark.peer
def test_an_archive_without_the_service_is_named() -> None:
    with peers.storescp() as scp, pytest.raises(NoCommitmentError, match="pacs offers no storage commitment"):
        ask(to(scp.port, "ANY"), "2.25.7", MEMBERS, wait_seconds=0)


def test_nobody_there_is_tried_again() -> None:
    with pytest.raises(TransientError, match="took no association for storage commitment"):
        ask(to(peers.free_port()), "2.25.7", MEMBERS, wait_seconds=0)
