"""What a radiologist sees in OHIF of each model that ships: its sample study, answered as the node answers it."""

import pydicom
import pytest

from tests import peers
from tests.ohif.test_ohif import pacs, screen  # noqa: F401 - fixtures
from tests.ohif.viewer import Shown, Viewer, coloured, yellow
from tests.shipped import IDS, answered
from tests.sr_writer.reading import groups, tracking

pytestmark = pytest.mark.viewer


@pytest.mark.parametrize("model", IDS)
def test_ohif_lists_and_draws_every_segment_and_every_outline(
    model: str,
    screen: Viewer,  # noqa: F811
    pacs: peers.Orthanc,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shipped = answered(model, tmp_path_factory.mktemp(model), ("sr", "seg"))
    for file in (*shipped.images, *(path for role, path in shipped.files.items() if role != "sr-volumetric")):
        pacs.post("/instances", file.read_bytes())
    with screen.study(shipped.study_uid) as shown:
        for number, role in enumerate((role for role in shipped.files if role.startswith("seg")), 1):
            shows_segments(shown, shipped.dataset(role), number)
        shows_outlines(shown, shipped.dataset("sr"))
        assert "Something went wrong" not in shown.text()
        assert shown.errors == []


def shows_segments(shown: Shown, seg: pydicom.Dataset, number: int) -> None:
    """``number``: how many Segmentations are loaded with this one."""
    before = coloured(shown.picture())
    shown.load(str(seg.SeriesDescription))
    state = shown.until(f"s.segments.length >= {number} && s.segments.every(list => list.length > 0)")
    listed = [sorted(labels) for labels in state["segments"]]
    assert sorted(str(item.SegmentLabel) for item in seg.SegmentSequence) in listed
    shown.picture_until(lambda picture: coloured(picture) > before + 300)


def shows_outlines(shown: Shown, report: pydicom.Dataset) -> None:
    before = yellow(shown.picture())
    shown.load(str(report.SeriesDescription))
    state = shown.until("s.tracked.some(list => list.length > 0 && list.every(m => m.loaded))")
    (listed,) = [entries for entries in state["tracked"] if entries]
    assert {entry["id"] for entry in listed} == {tracking(group)[0] for group in groups(report)}
    shown.picture_until(lambda picture: yellow(picture) > before + 200)
