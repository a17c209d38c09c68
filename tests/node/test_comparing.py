"""A PACS that holds the patient's earlier report is asked for it, and one that does not answer holds up nothing."""

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from domain.destinations import Destination
from node import work
from tests import peers
from tests.ct_series import Series
from tests.node.test_work import MakeOrder, order, package, said

__all__ = ["order", "package"]  # fixtures

pytestmark = pytest.mark.peer


def test_the_pacs_is_asked_for_what_this_node_does_not_have(order: MakeOrder, tmp_path: Path) -> None:
    before = order(Series(slices=12, seed="before", tags={"StudyDate": "20250203"}), out_dir=str(tmp_path / "results" / "b"))
    earlier = work.perform(before)
    silent = Destination("silent", "dicom", "127.0.0.1", peers.free_port(), "NOBODY", "ANCILLA", timeout_seconds=1)
    with peers.orthanc(extra={"DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True}) as pacs:
        for artifact in earlier.artifacts:
            if artifact.role.startswith("sr"):
                pacs.post("/instances", (tmp_path / artifact.path).read_bytes())
        holder = replace(silent, name="pacs", port=pacs.port, ae_title=pacs.ae_title, timeout_seconds=10)
        answer = work.perform(order(prior_from=(silent, holder)))
    report = pydicom.dcmread(tmp_path / next(a.path for a in answer.artifacts if a.role == "sr"))
    assert "Compared with the result of the same model of 2025-02-03." in said(report)
    assert report.PertinentOtherEvidenceSequence[0].StudyInstanceUID == before.study_uid
