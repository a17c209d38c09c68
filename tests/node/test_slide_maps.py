"""A whole slide that wsidicom wrote, through a whole order: tiled segmentation and heat map on one of its levels, read back."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGBaseline8Bit

from domain.jobs import Outcome
from inference.slides import drawing
from inference.source import open_source
from tests import image_objects as objects
from tests.ct_series import part10
from tests.inference import image_package
from tests.inference.image_package import tissue_of
from tests.node.answering import answer
from tests.node.test_images import QUIET
from tests.sr_writer.test_peers import complaints, run

pytestmark = pytest.mark.peer
wsidicom = pytest.importorskip("wsidicom", reason="wsidicom is not installed (extra 'test')")

# dicom3tools of 2022 is older than this value of the frame type of maps (PS3.3 C.8.16.1.4).
NEWER = "Unrecognized defined term <QUANTITY>"
BOX = (130, 90, 300, 220)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The files of a slide of 800 x 600 pixels with three levels, as wsidicom writes them."""
    folder = tmp_path_factory.mktemp("slide")
    pixels = tissue_of(600, 800, BOX)
    for number, n in ((1, 1), (2, 2), (3, 4)):
        level = objects.level(pixels[::n, ::n], 128, 0.5 * n, number, JPEGBaseline8Bit)
        (folder / f"{number}.dcm").write_bytes(part10(level))
    (folder / "written").mkdir()
    with wsidicom.WsiDicom.open(folder) as opened:
        return [Path(file).read_bytes() for file in opened.save(folder / "written")]


def assert_valid(files: dict[str, Path]) -> None:
    for role, path in files.items():
        if path.suffix == ".dcm":
            said = complaints(run("dciodvfy", path), "Error", "Warning", "Abort")
            assert (role, [line for line in said if not any(noise in line for noise in (*QUIET, NEWER))]) == (role, [])


def level_of(slide: list[bytes], columns: int) -> pydicom.Dataset:
    levels = [open_source(data).header for data in slide]
    return next(level for level in levels if level.TotalPixelMatrixColumns == columns)


def test_segments_and_probabilities_lie_on_a_level_of_the_slide(slide: list[bytes], tmp_path: Path) -> None:
    toml = image_package.AREA_TOML.replace("um_per_pixel = 0.5", "um_per_pixel = 1.0")
    package = image_package.sealed(image_package.write_area(tmp_path / "package", toml))
    given, files = answer(package, slide, tmp_path, ("seg", "pm", "sr"))
    assert given.outcome is Outcome.POSITIVE
    assert_valid(files)
    level = level_of(slide, 400)  # one micrometre per pixel, as the network's input
    truth = tissue_of(600, 800, BOX)[::2, ::2, 0] == 250

    seg = hd.seg.segread(files["seg"])
    assert str(seg.DimensionOrganizationType) == "TILED_SPARSE"
    assert {str(ref.ReferencedSOPInstanceUID) for ref in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == {
        str(level.SOPInstanceUID)
    }
    mask = seg.get_total_pixel_matrix(combine_segments=True)
    assert mask.shape == (300, 400)
    assert 2 * ((mask == 1) & truth).sum() / ((mask == 1).sum() + truth.sum()) > 0.97

    heat = pydicom.dcmread(files["pm"])
    assert (heat.TotalPixelMatrixRows, heat.TotalPixelMatrixColumns) == (300, 400)
    matrix = np.zeros((300, 400), np.float32)
    tiles = np.frombuffer(heat.FloatPixelData, "<f4").reshape(-1, heat.Rows, heat.Columns)
    for tile, group in zip(tiles, heat.PerFrameFunctionalGroupsSequence, strict=True):
        place = group.PlanePositionSlideSequence[0]
        top, left = place.RowPositionInTotalImagePixelMatrix - 1, place.ColumnPositionInTotalImagePixelMatrix - 1
        part = matrix[top : top + heat.Rows, left : left + heat.Columns]
        part[...] = tile[: part.shape[0], : part.shape[1]]
    assert matrix[truth].mean() == pytest.approx(230 / 255, abs=0.05) and matrix[~truth].mean() < 0.05


def test_a_classifier_of_tiles_gives_a_heat_map(slide: list[bytes], tmp_path: Path) -> None:
    package = image_package.sealed(image_package.write_patches(tmp_path / "package"))
    given, files = answer(package, slide, tmp_path, ("seg", "pm", "sr"))
    assert given.outcome is Outcome.POSITIVE
    assert_valid(files)
    heat = pydicom.dcmread(files["pm"])
    mapping = heat.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.LUTExplanation == "Probability of tumour"
    assert (heat.TotalPixelMatrixRows, heat.TotalPixelMatrixColumns) == (600, 800)


def test_a_slide_of_one_large_level_gets_maps_of_its_own_resolution_at_the_same_place(
    slide: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known ellipse, on a slide that has its finest level alone, at the same millimetres for highdicom and wsidicom."""
    monkeypatch.setattr(drawing, "MOST_LABELS", 100_000)
    monkeypatch.setattr(drawing, "MOST_HEAT", 10_000)
    level, [data] = level_of(slide, 800), [data for data in slide if open_source(data).header.TotalPixelMatrixColumns == 800]
    package = image_package.sealed(image_package.write_area(tmp_path / "package"))
    given, files = answer(package, [data], tmp_path, ("seg", "pm", "fractional", "sr"))
    assert given.outcome is Outcome.POSITIVE
    assert_valid(files)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "slide.dcm").write_bytes(data)
    left, top, wide, high = BOX
    spacing = 0.0005
    origin = level.TotalPixelMatrixOriginSequence[0]
    middle = (  # rows go against x and columns against y: Image Orientation (Slide) is 0, -1, 0, -1, 0, 0
        float(origin.XOffsetInSlideCoordinateSystem) - (top + high / 2 - 0.5) * spacing,
        float(origin.YOffsetInSlideCoordinateSystem) - (left + wide / 2 - 0.5) * spacing,
    )
    for role, reduced in (("seg", 4), ("fractional", 8)):
        seg = hd.seg.segread(files[role])
        refs = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert [str(ref.ReferencedSOPInstanceUID) for ref in refs] == [str(level.SOPInstanceUID)]
        assert seg.FrameOfReferenceUID == level.FrameOfReferenceUID and seg.ImageOrientationSlide == level.ImageOrientationSlide
        assert seg.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem == origin.XOffsetInSlideCoordinateSystem
        size = (seg.TotalPixelMatrixRows, seg.TotalPixelMatrixColumns)
        assert size == (600 // reduced, 800 // reduced)
        measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert [float(v) for v in measures.PixelSpacing] == pytest.approx([spacing * reduced] * 2)
        volume = seg.get_volume(combine_segments=role == "seg")
        found = np.argwhere(volume.array.squeeze() > 0)
        places = volume.map_indices_to_reference(np.column_stack([np.zeros(len(found)), found])).mean(axis=0)
        # A pixel's place is its centre, and all levels of a pyramid have one origin: half a pixel of the map.
        assert places[:2] == pytest.approx(middle, abs=spacing * reduced * 0.6)
        area = len(found) * (spacing * reduced) ** 2
        assert area == pytest.approx(np.pi * wide * high / 4 * spacing**2, rel=0.05 if role == "seg" else 0.2)
        rows, columns = (found.min(axis=0), found.max(axis=0) + 1)
        with wsidicom.WsiDicom.open(tmp_path / "one") as opened:
            shown = opened.read_region_mm(
                (float(rows[1]) * spacing * reduced, float(rows[0]) * spacing * reduced), 0,
                (float(columns[1] - rows[1]) * spacing * reduced, float(columns[0] - rows[0]) * spacing * reduced),
            )  # fmt: skip
        red = np.asarray(shown)[..., 1] < 110
        assert red.mean() == pytest.approx(np.pi / 4, abs=0.05) and red[red.shape[0] // 2, red.shape[1] // 2]
    heat = hd.imread(files["pm"])
    assert (heat.TotalPixelMatrixRows, heat.TotalPixelMatrixColumns) == (75, 100)
    matrix = heat.get_total_pixel_matrix()
    truth = tissue_of(600, 800, BOX)[..., 0] == 250
    mean = truth.reshape(75, 8, 100, 8).mean(axis=(1, 3)) * 230 / 255
    assert np.abs(matrix - mean).mean() < 0.01 and np.corrcoef(matrix.ravel(), mean.ravel())[0, 1] > 0.99
