"""Three sequences of one study over the network: nothing is analysed before the last of them, then one report speaks of all."""

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from delivery.association import Association, Kind
from domain.destinations import Destination
from tests import peers, serving
from tests.ct_series import part10
from tests.flow import reading
from tests.flow.scanner import data_set_at
from tests.inference import sequences

MR = Kind(str(MRImageStorage), str(ExplicitVRLittleEndian))


def send(node: serving.Node, folder: Path, series: sequences.Sequence) -> None:
    """All images of a series on one association."""
    destination = Destination("node", "dicom", "127.0.0.1", node.port, "ANCILLA", serving.CALLER, timeout_seconds=20.0)
    with Association(destination, [MR]) as association:
        for ds in series.datasets():
            file = folder / f"{ds.SOPInstanceUID}.dcm"
            file.write_bytes(part10(ds))
            with file.open("rb") as stream:
                start = data_set_at(stream.read(144))
                stream.seek(start)
                response = association.store(MR, str(ds.SOPInstanceUID), stream, file.stat().st_size - start)
            assert response.status == 0


@pytest.mark.peer
def test_the_node_waits_for_every_sequence_and_reports_on_all_of_them(tmp_path: Path) -> None:
    package = sequences.build(tmp_path / "package")
    whole = sequences.study()
    study = str(whole["T1"].common("0").StudyInstanceUID)
    with peers.storescp() as pacs:
        block = {"package": str(package), "send_to": ["pacs"], "when": {"Modality": "MR"}}
        node = serving.prepare(tmp_path, models=[block], destinations=[serving.pacs(pacs)])
        with serving.serving(node):
            for name in ("T1", "T1 with contrast"):
                send(node, tmp_path, whole[name])
            peers.wait_for(lambda: "(FLAIR of " in str(node.ask("show", study)), "the wait", 60, node.alive)
            assert node.ask("jobs") == []
            send(node, tmp_path, whole["FLAIR"])
            peers.wait_for(
                lambda: [job["state"] for job in node.ask("jobs") if job["kind"] == "deliver"] == ["done"],
                "the answer",
                90,
                node.alive,
            )
            answers = [pydicom.dcmread(file) for file in pacs.files() if file.name.startswith("SR")]
    assert any("Read together: T1: series 3, T1 with contrast: series 5, FLAIR: series 7." in reading.words(ds) for ds in answers)
