"""Every real file there is, sent one by one: stored as it is or refused with a reason, and nothing stops the receiver."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from domain.errors import UnnameableError
from scp.part10 import split
from tests.scp.conftest import Running, Start

EXPECTED = {
    "0x0000": 302,
    "0xa900 SOP Instance UID differs between command and data set": 18,  # their File Meta Information names another object
    "0xc000 no Study Instance UID; objects are kept by study": 21,
    "0xc000 Study Instance UID is not 1-64 digits and dots": 1,
    "not negotiated": 8,  # DICOMDIRs and a private transfer syntax
    "not a file to send": 15,  # no DICM prefix, or no UIDs and transfer syntax behind it
}

pytestmark = [pytest.mark.data, pytest.mark.filterwarnings("ignore")]


@dataclass
class Sendable:
    """A file as a sender would offer it: by its File Meta Information alone."""

    path: Path
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    data_set: bytes


def sendable(path: Path) -> Sendable | None:
    """None for a file that is no PS3.10 file, or whose meta information gives nothing to propose."""
    try:
        syntax, data_set = split(path.read_bytes())
        meta = pydicom.filereader.read_file_meta_info(path)
        uids = [str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID)]
    except (UnnameableError, AttributeError):
        return None
    return Sendable(path, uids[0], uids[1], syntax, bytes(data_set)) if all((*uids, data_set)) else None


def send(running: Running, file: Sendable) -> str:
    """The status and comment by pynetdicom as sender, or "not negotiated"."""
    ae = AE("CT01")
    ae.add_requested_context(file.sop_class, file.transfer_syntax)
    association = ae.associate("127.0.0.1", running.port, ae_title="ANCILLA")
    assert association.is_established or association.is_aborted
    if not association.accepted_contexts:
        return "not negotiated"
    response = store(association, file)
    association.release()
    return f"{response.Status:#06x} {getattr(response, 'ErrorComment', None) or ''}".strip()


def store(association: Association, file: Sendable) -> C_STORE:
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(file.sop_class), UID(file.sop_instance)
    request.DataSet = BytesIO(file.data_set)
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        time.sleep(0.001)
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert isinstance(response, C_STORE), f"no answer to {file.path.name}"
    return response


def files(real_images: Path) -> Iterator[Path]:
    everything = (real_images / "dicom" / "permissive").rglob("*")
    texts = (".txt", ".md", "LICENSE", "LICENCE", ".csv", ".json")
    yield from (path for path in sorted(everything) if path.is_file() and not path.name.endswith(texts))


def test_every_real_file_is_stored_as_it_is_or_refused_with_a_reason(start: Start, real_images: Path) -> None:
    running = start(max_pdu=65536)
    outcomes: Counter[str] = Counter()
    sent: dict[int, Sendable] = {}
    for path in files(real_images):
        file = sendable(path)
        before = len(running.intake.stored)
        outcome = "not a file to send" if file is None else send(running, file)
        outcomes[outcome] += 1
        if outcome == "0x0000":
            assert file is not None
            sent[before] = file
    assert outcomes == EXPECTED
    assert len(sent) == len(running.intake.stored)
    for index, file in sent.items():
        stored = running.intake.stored[index]
        assert stored.data_set == file.data_set, file.path.name
        assert split(stored.meta + stored.data_set) == (file.transfer_syntax, memoryview(file.data_set))
