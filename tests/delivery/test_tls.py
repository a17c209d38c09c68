"""What leaves by TLS reaches whom we trust and nobody else: C-STORE into DCMTK, C-FIND into pynetdicom."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from delivery.dicom import send
from delivery.query import count
from domain.destinations import Destination
from domain.errors import TransientError
from tests import peers
from tests.ct_series import Series, part10
from tests.scp.certificates import Authority, Identity


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def ours(folder: Path) -> Authority:
    return Authority(folder, "hospital")


@pytest.fixture(scope="module")
def server(ours: Authority) -> Identity:
    return ours.identity("pacs")


@pytest.fixture
def dcmtk(ours: Authority, server: Identity) -> Iterator[Destination]:
    """A storescp that wants a certificate from its callers."""
    options = ("+tls", str(server.key), str(server.cert), "+cf", str(ours.cert), "-rc")
    with peers.storescp(*options) as peer:
        yield to(peer.port, peer.ae_title, ours)


def to(port: int, ae_title: str, authority: Authority, **other: object) -> Destination:
    made = Destination("pacs", "dicom", "127.0.0.1", port, ae_title, "ANCILLA", timeout_seconds=10, tls=True)
    return replace(made, ca_file=str(authority.cert), **other)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "one.dcm"
    made.write_bytes(part10(Series(slices=1).datasets()[0]))
    return made


def test_results_go_by_tls_with_a_certificate_of_our_own(dcmtk: Destination, ours: Authority, file: Path) -> None:
    mine = ours.identity("ancilla")
    sent = send(replace(dcmtk, cert_file=str(mine.cert), key_file=str(mine.key)), [file])
    assert [one.status for one in sent] == [0]


def test_without_the_certificate_the_other_side_asks_for_nothing_is_sent(dcmtk: Destination, file: Path) -> None:
    with pytest.raises(TransientError):
        send(dcmtk, [file])


def test_a_server_we_do_not_trust_gets_nothing(dcmtk: Destination, folder: Path, file: Path) -> None:
    with pytest.raises(TransientError, match="TLS failed"):
        send(replace(dcmtk, ca_file=str(Authority(folder, "rogue").cert)), [file])


def test_a_certificate_that_names_another_host_is_not_taken(dcmtk: Destination, file: Path) -> None:
    with pytest.raises(TransientError, match="TLS failed"):
        send(replace(dcmtk, host="localhost"), [file])


def test_a_server_that_speaks_no_tls_gets_nothing(ours: Authority, file: Path) -> None:
    with peers.storescp() as peer, pytest.raises(TransientError, match=r"TLS failed|cannot be reached"):
        send(to(peer.port, peer.ae_title, ours, timeout_seconds=3.0), [file])


@pytest.mark.parametrize("name", ["ca_file", "cert_file"])
def test_a_file_that_cannot_be_read_is_named_and_tried_again_later(
    dcmtk: Destination, tmp_path: Path, file: Path, name: str
) -> None:
    with pytest.raises(TransientError, match=r"nothing\.pem"):
        send(replace(dcmtk, **{name: str(tmp_path / "nothing.pem")}), [file])  # type: ignore[arg-type]


def test_a_pacs_is_asked_by_tls(ours: Authority, server: Identity) -> None:
    def found(_: evt.Event) -> Iterator[tuple[int, Dataset]]:
        answer = Dataset()
        answer.QueryRetrieveLevel, answer.NumberOfStudyRelatedInstances = "STUDY", 7
        yield 0xFF00, answer

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    ae = AE("PACS")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    running = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, found)], ssl_context=context)
    assert running is not None
    try:
        destination = to(running.server_address[1], "PACS", ours)
        assert count(destination, "1.2.3") == 7
        with pytest.raises(TransientError):
            count(replace(destination, tls=False, ca_file="", timeout_seconds=2.0), "1.2.3")
    finally:
        running.shutdown()
