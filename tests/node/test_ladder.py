"""Whatever an archive refuses, it ends up with something that a person can see; and the story of it is exact."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pydicom
import pytest

from delivery import dicom
from domain.destinations import Acceptance, Destination, Sent
from domain.jobs import Artifact
from node.ladder import CLASSES, LADDERS, LAST, Ladder, kind_of, kinds_to_write, remembered, wanted
from sr_writer.results import documents
from tests import peers
from tests.sr_writer import cases
from tests.sr_writer.reading import saved

EVERYTHING = ("sr", "sr-comprehensive", "sr-enhanced", "seg", "gsps", "sc", "pdf")
SEG, SR3D, SC, PDF = (CLASSES[kind][0] for kind in ("seg", "sr", "sc", "pdf"))
OLD = ("CTImageStorage", "SecondaryCaptureImageStorage", "EncapsulatedPDFStorage")
NO_SEG = ("ComprehensiveSRStorage", "EnhancedSRStorage", "SecondaryCaptureImageStorage",
          "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.11.1")  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Artifact]]:
    """Everything that may be sent about one study, as files."""
    folder, artifacts = tmp_path_factory.mktemp("results"), []
    for document in documents(*cases.positive(numbers=(3, 5), outputs=EVERYTHING).arguments):
        file = folder / f"{document.role}.dcm"
        file.write_bytes(saved(document))
        ds = document.dataset
        uids = (str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID))
        artifacts.append(Artifact(document.role, file.name, "", file.stat().st_size, *uids))
    return folder, artifacts


def to(port: int = 104, outputs: tuple[str, ...] = ("sr", "seg"), volumetric: bool = True) -> Destination:
    return Destination(
        "pacs", "dicom", "127.0.0.1", port, "ANY", "ANCILLA", outputs=outputs, timeout_seconds=10, volumetric=volumetric
    )


class Archive:
    """Refuses SOP Classes with a status."""

    def __init__(self, **refused: int) -> None:
        self.refused = {CLASSES[kind.replace("_", "-")][0]: status for kind, status in refused.items()}
        self.rounds: list[list[str]] = []

    def __call__(self, files: Sequence[Path]) -> list[Sent]:
        self.rounds.append([file.stem for file in files])
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        return [Sent(str(ds.SOPInstanceUID), self.refused.get(str(ds.SOPClassUID), 0)) for ds in headers]


@pytest.fixture
def storescp(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[peers.StoreScp]:
    """A DCMTK storescp that negotiates the SOP Classes of the parameter only."""
    with peers.storescp(*peers.only(tmp_path, *request.param)) as scp:
        yield scp


def kept(scp: peers.StoreScp) -> list[str]:
    return sorted(str(pydicom.dcmread(file).SOPClassUID) for file in scp.files())


@pytest.mark.peer
@pytest.mark.parametrize("storescp", [NO_SEG], indirect=True)
def test_an_archive_that_refuses_segmentations_gets_contours(
    storescp: peers.StoreScp, written: tuple[Path, list[Artifact]]
) -> None:
    destination = to(storescp.port)
    delivered = Ladder(destination, written[1], written[0], {}).climb(partial(dicom.send, destination))
    assert kept(storescp) == sorted([SR3D, SR3D, CLASSES["gsps"][0]])
    assert [(one.wanted, one.given) for one in delivered.instead] == [("seg", "gsps")]
    assert delivered.learned == {SEG: False, SR3D: True, CLASSES["gsps"][0]: True}


@pytest.mark.peer
@pytest.mark.parametrize("storescp", [OLD], indirect=True)
def test_an_archive_of_images_and_documents_gets_a_picture_and_a_page(
    storescp: peers.StoreScp, written: tuple[Path, list[Artifact]]
) -> None:
    destination = to(storescp.port)
    delivered = Ladder(destination, written[1], written[0], {}).climb(partial(dicom.send, destination))
    assert kept(storescp) == sorted([SC, PDF])
    assert {one.wanted: one.given for one in delivered.instead} == {"sr": "pdf", "seg": "sc", "sr-volumetric": "pdf"}
    picture = next(ds for ds in map(pydicom.dcmread, storescp.files()) if ds.SOPClassUID == SC)
    assert (picture.pixel_array > 0).any() and "not for primary diagnosis" in picture.ImageComments
    again = Ladder(destination, written[1], written[0], delivered.learned).climb(partial(dicom.send, destination))
    assert [sent.status for sent in again.results] == [0, 0], "what it refused is not proposed again"


@pytest.mark.parametrize(
    ("refused", "rounds", "instead"),
    [
        ({}, [["seg", "sr", "sr-volumetric"]], {}),
        ({"sr": 0x0122}, [["seg", "sr", "sr-volumetric"], ["sr-comprehensive"]],
         {"sr": "sr-comprehensive", "sr-volumetric": "sr-comprehensive"}),
        ({"sr": 0xA900, "sr_comprehensive": 0xA9FF}, [["seg", "sr", "sr-volumetric"], ["sr-comprehensive"], ["sr-enhanced"]],
         {"sr": "sr-enhanced", "sr-volumetric": "sr-enhanced"}),
        ({"seg": 0xC000}, [["seg", "sr", "sr-volumetric"], ["gsps-1"]], {"seg": "gsps"}),
        ({"seg": 0x0122, "gsps": 0x0122}, [["seg", "sr", "sr-volumetric"], ["gsps-1"], ["sc-1"]], {"seg": "sc"}),
        ({"seg": 0xA700}, [["seg", "sr", "sr-volumetric"]], {}),
    ],
)  # fmt: skip
def test_each_refusal_goes_one_rung_down(
    refused: dict[str, int], rounds: list[list[str]], instead: dict[str, str], written: tuple[Path, list[Artifact]]
) -> None:
    archive = Archive(**refused)
    delivered = Ladder(to(), written[1], written[0], {}).climb(archive)
    assert archive.rounds == rounds
    assert {one.wanted: one.given for one in delivered.instead} == instead
    assert not delivered.short


def test_a_failure_of_one_object_is_not_remembered_as_one_of_its_class(written: tuple[Path, list[Artifact]]) -> None:
    delivered = Ladder(to(), written[1], written[0], {}).climb(Archive(seg=0xC000))
    assert SEG not in delivered.learned


def test_what_is_there_already_is_not_sent_twice(written: tuple[Path, list[Artifact]]) -> None:
    archive = Archive(seg=0x0122, gsps=0x0122)
    delivered = Ladder(to(outputs=("sr", "seg", "sc")), written[1], written[0], {}).climb(archive)
    assert archive.rounds == [["seg", "sr", "sr-volumetric", "sc-1"], ["gsps-1"]]
    assert {one.wanted: one.given for one in delivered.instead} == {"seg": "sc"}


def test_an_archive_that_refuses_all_is_told_so_once(written: tuple[Path, list[Artifact]]) -> None:
    nothing = dict.fromkeys((kind.replace("-", "_") for kind in EVERYTHING), 0x0122)
    archive = Archive(**nothing)
    delivered = Ladder(to(), written[1], written[0], {}).climb(archive)
    assert len([file for files in archive.rounds for file in files]) == len({f for fs in archive.rounds for f in fs})
    assert delivered.instead == () and not delivered.short and not any(sent.accepted for sent in delivered.results)
    again = Ladder(to(), written[1], written[0], delivered.learned).climb(archive)
    assert again.results, "what is known to be refused is tried when there is nothing else"


def test_what_was_not_written_because_it_seemed_needless_is_missed(written: tuple[Path, list[Artifact]]) -> None:
    few = [artifact for artifact in written[1] if artifact.role in ("sr", "seg")]
    assert Ladder(to(), few, written[0], {}).climb(Archive(seg=0x0122)).short


def test_a_viewer_that_fails_on_volumes_does_not_get_them(written: tuple[Path, list[Artifact]]) -> None:
    archive = Archive()
    Ladder(to(volumetric=False), written[1], written[0], {}).climb(archive)
    assert archive.rounds == [["seg", "sr"]]


def test_every_ladder_ends_with_what_everything_shows() -> None:
    for kind, rungs in LADDERS.items():
        assert rungs[0] == kind and set(rungs) <= set(CLASSES)
        assert rungs[-1] == LAST or kind == "sr-volumetric"


def test_no_more_is_written_than_a_destination_may_need() -> None:
    assert kinds_to_write(to(), {}) == set(EVERYTHING)
    assert kinds_to_write(to(), {SR3D: True, SEG: True}) == {"sr", "seg"}
    assert kinds_to_write(to(), {SR3D: True, SEG: False, CLASSES["gsps"][0]: True}) == {"sr", "seg", "gsps"}
    assert kinds_to_write(Destination("disk", "folder", path="/x", outputs=("seg",)), {}) == {"seg"}
    assert wanted(to(outputs=("sr", "kos"))) == ["sr", "kos", "sr-volumetric"]


def test_memory_fades_after_a_day() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    known = [Acceptance(SEG, False, now - timedelta(hours=25)), Acceptance(SR3D, True, now - timedelta(hours=23))]
    assert remembered(known, now) == {SR3D: True}


def test_the_second_picture_is_of_the_same_kind() -> None:
    assert [kind_of(role) for role in ("sc-2", "sc-12", "sr", "sr-volumetric", "seg-2")] == [
        "sc",
        "sc",
        "sr",
        "sr-volumetric",
        "seg",
    ]
